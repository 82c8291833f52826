"""sMLPNet against the official network, its published sizes, and its literal transcription."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import official_state_dict
from reference import assert_equal_to_literal
from reference import smlpnet as reference
from torch.utils.flop_counter import FlopCounterMode

import mmvmlp
from mmvmlp.backbones.smlpnet import SMLPNet, SMLPNetBlock, SparseMLP

SMALL_ARCH = {'depths': (2, 1, 2, 1), 'channels': 8, 'image_size': 64}

ABLATIONS = [
    {'local': False},
    {'sparse': (False, False, True, False)},
    {'dense': True},
    {'dense': True, 'sparse': (True, False, True, True)},
    *(
        {'order': order, 'identity': identity, 'fusion': fusion}
        for order in ('parallel', 'serial')
        for identity in (True, False)
        for fusion in ('concatenation', 'sum', 'weighted_sum', 'split_attention')
        if (order, identity) != ('serial', False) or fusion == 'concatenation'
    ),
]


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('smlpnet_tiny_ratio2', 19_175_584),
        ('smlpnet_tiny', 24_123_584),
        ('smlpnet_small', 48_558_136),
        ('smlpnet_base', 65_880_408),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(32, 200),
    width=st.integers(32, 200),
    resolution=st.sampled_from(['resize', 'window']),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution, seed):
    torch.manual_seed(seed)
    backbone = SMLPNet(SMALL_ARCH, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, SparseMLP, reference.sparse_mlp, image)


@pytest.mark.parametrize(
    ('field', 'value'), [('depths', (2, 2, 3)), ('channels', 0), ('image_size', 100)]
)
def test_architectures_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        SMLPNet({**SMALL_ARCH, field: value})


def test_checkpoint_of_a_bigger_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('smlpnet_small'), official_state_dict('smlpnet_tiny')
        )


@pytest.mark.parametrize('height_and_width', [(64, 64), (75, 101)], ids=['native', 'other'])
@pytest.mark.parametrize(
    'ablation', ABLATIONS, ids=lambda ablation: '-'.join(f'{k}={v}' for k, v in ablation.items())
)
@torch.no_grad()
def test_ablations_compute_what_their_names_say(ablation, height_and_width):
    torch.manual_seed(0)
    backbone = SMLPNet({**SMALL_ARCH, **ablation}, resolution='resize').double().eval()
    for parameter in backbone.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    image = torch.randn(1, 3, *height_and_width, dtype=torch.float64)
    stage_of_block = {
        block: number for number, stage in enumerate(backbone.stages) for block in stage.blocks
    }

    def literal(x, block):
        return reference.ablated_block(x, block, backbone.arch, stage_of_block[block])

    assert_equal_to_literal(backbone, SMLPNetBlock, literal, image)


@pytest.mark.parametrize(
    ('variant', 'ablation', 'millions', 'billions'),
    [
        ('tiny_ratio2', {'local': False}, 19.1, 3.9),
        ('tiny_ratio2', {'sparse': (False,) * 4, 'channels': 112}, 22.5, 4.4),
        ('tiny_ratio2', {'dense': True}, 22.7, 4.2),
        ('base', {'sparse': (False, True, True, True)}, 65.8, 13.7),
        ('base', {'sparse': (False, False, True, True)}, 64.3, 12.4),
        ('base', {'sparse': (False, False, False, True)}, 49.8, 9.5),
        ('base', {'sparse': (False,) * 4}, 45.0, 9.3),
        ('small', {'fusion': 'sum'}, 33.2, 7.0),
        ('small', {'fusion': 'weighted_sum'}, 33.3, 7.0),
    ],
)
def test_ablations_have_the_published_sizes(variant, ablation, millions, billions):
    """The papers' tables, but for 49.9 and 45.1 M: the official code has 49.78 and 44.96 M."""
    arch = {**dataclasses.asdict(SMLPNet.variants[variant]), **ablation}
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        backbone = SMLPNet(arch, out_indices=(3,), out_norm=True).eval()
        backbone(torch.empty(1, 3, 224, 224))
    classifier = 1000 * (backbone.feature_info[-1].channels + 1)
    parameters = sum(parameter.numel() for parameter in backbone.parameters()) + classifier
    assert round(parameters / 1e6, 1) == millions
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.06)


@pytest.mark.parametrize(
    ('ablation', 'message'),
    [
        ({'local': False, 'sparse': (True, True, False, True)}, 'local=False: True is accepted'),
        ({'local': False, 'dense': True}, 'local=False: True is accepted'),
        ({'dense': True, 'identity': False}, 'defaults are accepted with dense=True'),
        ({'sparse': (False,) * 4, 'fusion': 'sum'}, 'defaults are accepted with dense=False'),
        ({'dense': True, 'sparse': (True, False, False, False)}, 'dense=True: False is accepted'),
        ({'order': 'serial', 'identity': False, 'fusion': 'sum'}, "fusion='sum': .*accepted"),
    ],
)
def test_ablations_without_meaning_are_refused(ablation, message):
    with pytest.raises(ValueError, match=message):
        SMLPNet({**SMALL_ARCH, **ablation})
