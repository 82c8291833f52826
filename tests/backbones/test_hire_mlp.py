"""Hire-MLP against the official network, its published sizes, and its literal transcription."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_equal_to_literal
from reference import hire_mlp as reference
from torch.export import Dim

import mmvmlp
from mmvmlp.backbones.hire_mlp import HireMLP, HireMLPArchitecture, HireModule

SMALL_ARCH = {'depths': (2, 2, 3, 2), 'channels': (8, 12, 16, 20)}

SWITCHES = [
    *({'padding': padding} for padding in ('zero', 'reflect', 'replicate')),
    {'restoration': False},
    {'exchange': 'shuffle'},
    *({f'{branch}_branch': False} for branch in ('height', 'width', 'channel')),
    {'height_branch': False, 'width_branch': False},
    {'weighting': False},
    {'region_layers': 1},
    {'region_layers': 3},
    {'shift_steps': (0, 0, 0, 0)},
    {'regions': (1, 1, 1, 1)},
]
every_switch = pytest.mark.parametrize('switch', SWITCHES, ids=str)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('hire_mlp_tiny', 18_041_672),
        ('hire_mlp_small', 33_113_848),
        ('hire_mlp_base', 58_226_856),
        ('hire_mlp_large', 95_723_944),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_regions_shift_as_in_the_official_code():
    stages = mmvmlp.build_backbone('hire_mlp_base').stages
    shifts = [[block.token_mixing.height.shift for block in stage.blocks] for stage in stages]
    assert shifts == [[0, 2, 0, 2], [0, 2, 0, 2, 0, 2], [0, 1, 2] * 8, [0, 1, 0]]
    assert [stage.blocks[0].token_mixing.width.region for stage in stages] == [4, 3, 3, 2]


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 320), width=st.integers(32, 320), seed=st.integers(0, 99))
@torch.no_grad()
def test_any_size_gives_what_the_paper_writes(height, width, seed):
    torch.manual_seed(seed)
    backbone = HireMLP(SMALL_ARCH).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, HireModule, reference.hire_module, image)


@pytest.mark.parametrize(
    ('field', 'values'),
    [('depths', (2, 2, 3)), ('regions', (4, 3, 0, 2)), ('channels', (8, 12, 18, 20))],
)
def test_architectures_that_cannot_be_built_are_refused(field, values):
    with pytest.raises(ValueError, match=field):
        HireMLP({**SMALL_ARCH, field: values})


@pytest.mark.parametrize(
    ('variant', 'parameters'),
    [('tiny', 17_058_088), ('small', 31_207_912), ('base', 54_834_856), ('large', 90_115_048)],
)
def test_networks_without_weighting_have_the_size_of_the_code_without_it(variant, parameters):
    arch = replace(HireMLP.variants[variant], weighting=False)
    with torch.device('meta'):
        backbone = HireMLP(arch)
    channels = arch.channels[-1]
    classifier = 2 * channels + 1000 * (channels + 1)
    assert sum(each.numel() for each in backbone.parameters()) + classifier == parameters


@every_switch
@torch.no_grad()
def test_switched_networks_equal_their_transcription_fused_and_not(switch):
    torch.manual_seed(0)
    backbone = HireMLP({**SMALL_ARCH, **switch}).double().eval()
    # The last map has fewer tokens than a region along the height, and three along the width.
    image = torch.randn(2, 3, 32, 70, dtype=torch.float64)
    for ours, fused in zip(backbone(image), mmvmlp.fuse(backbone)(image), strict=True):
        torch.testing.assert_close(fused, ours, rtol=1e-11, atol=1e-11)
    places = {
        module.token_mixing: (stage, block)
        for stage, modules in enumerate(backbone.stages)
        for block, module in enumerate(modules.blocks)
    }

    def literal(x, module):
        return reference.switched_hire_module(x, module, backbone.arch, *places[module])

    assert_equal_to_literal(backbone, HireModule, literal, image)


@every_switch
def test_switched_networks_train_every_parameter(switch):
    torch.manual_seed(0)
    backbone = HireMLP({**SMALL_ARCH, **switch})
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 64, 96))).backward()
    assert all(parameter.grad.any() for parameter in backbone.parameters())


@pytest.mark.parametrize(
    'switches',
    [
        {'padding': 'zero', 'region_layers': 3, 'restoration': False},
        {'padding': 'reflect', 'region_layers': 1, 'exchange': 'shuffle'},
        {'padding': 'replicate', 'channel_branch': False, 'weighting': False},
    ],
    ids=str,
)
def test_switched_token_mixing_exports_with_any_height_and_width(switches):
    arch = HireMLPArchitecture(**{**SMALL_ARCH, **switches})
    module = HireModule(arch, stage=1, block=1, norm_cfg={'type': 'BN'}).eval()
    sides = {2: Dim('height', min=4, max=512), 3: Dim('width', min=4, max=512)}
    exported = torch.export.export(
        module, (torch.randn(2, 12, 13, 17),), dynamic_shapes=(sides,)
    ).module()
    for height, width in ((4, 5), (14, 36), (40, 12)):
        x = torch.randn(2, 12, height, width)
        torch.testing.assert_close(exported(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'switch', [{'padding': 'reflect'}, {'restoration': False}, {'exchange': 'shuffle'}], ids=str
)
def test_switches_without_parameters_take_the_published_weights(switch):
    published = HireMLP(SMALL_ARCH)
    HireMLP({**SMALL_ARCH, **switch}).load_state_dict(published.state_dict())


@pytest.mark.parametrize(
    ('switches', 'message'),
    [
        ({'region_layers': 4}, 'region_layers=4: 1, 2 or 3 is accepted'),
        ({'padding': 'mirror'}, "padding='mirror'.*'circular', 'zero', 'reflect' or 'replicate'"),
        (
            {'height_branch': False, 'width_branch': False, 'channel_branch': False},
            'at least one of them must be True',
        ),
    ],
)
def test_switches_that_cannot_be_set_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        HireMLP({**SMALL_ARCH, **switches})
