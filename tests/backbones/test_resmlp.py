"""ResMLP against the official network, timm's, its published sizes, and a literal transcription."""

import dataclasses

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import (
    assert_checkpoint_gives_its_networks_outputs,
    official_state_dict,
)
from reference import assert_equal_to_literal
from reference import dense as reference
from torch.utils.flop_counter import FlopCounterMode

import mmvmlp
from mmvmlp.backbones.resmlp import ResMLP
from mmvmlp.ops import DenseMixing

SMALL_ARCH = {'depth': 4, 'channels': 8, 'patch_size': 4, 'image_size': 16}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('resmlp_s12', 15_350_872),
        ('resmlp_s24', 30_020_680),
        ('resmlp_s36', 44_690_488),
        ('resmlp_b24', 115_736_776),
        ('resmlp_s12_p8', 22_051_624),
        ('resmlp_b24_p8', 129_138_280),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_timms_checkpoints_give_timms_outputs():
    torch.manual_seed(0)
    assert_checkpoint_gives_its_networks_outputs(timm.create_model('resmlp_12_224'), 'resmlp_s12')


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(4, 60),
    width=st.integers(4, 60),
    resolution=st.sampled_from(['resize', 'window']),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution):
    torch.manual_seed(height)
    backbone = ResMLP({**SMALL_ARCH, 'layer_scale': 1.0}, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, DenseMixing, reference.dense_mixing, image)


@pytest.mark.parametrize('norm', ['Affine', 'LN2d'])
@pytest.mark.parametrize('token_mixing', ['linear', 'mlp', 'none'])
@torch.no_grad()
def test_ablations_compute_what_their_names_say(token_mixing, norm):
    torch.manual_seed(0)
    arch = {**SMALL_ARCH, 'layer_scale': 1.0, 'token_mixing': token_mixing}
    backbone = ResMLP(arch, resolution='resize', norm_cfg={'type': norm}, out_indices=(-1,))
    backbone.double().eval()
    for parameter in backbone.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    image = torch.randn(1, 3, 20, 28, dtype=torch.float64)

    def normalised(x, layer):
        if norm == 'LN2d':
            x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        return x * layer.weight[:, None, None] + layer.bias[:, None, None]

    x = backbone.stem(image)
    for stage in backbone.stages:
        for block in stage.blocks:
            if token_mixing != 'none':
                assert (block.token_mixing.fc2 is None) == (token_mixing == 'linear')
                mixed = reference.dense_mixing(normalised(x, block.norm1), block.token_mixing)
                x = x + block.scale1.weight[:, None, None] * mixed
            mixed = block.channel_mlp(normalised(x, block.norm2))
            x = x + block.scale2.weight[:, None, None] * mixed
    torch.testing.assert_close(backbone(image)[0], x, rtol=1e-11, atol=1e-11)


def test_s12_with_an_mlp_across_patches_has_the_published_size():
    arch = {**dataclasses.asdict(ResMLP.variants['s12']), 'token_mixing': 'mlp'}
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        backbone = ResMLP(arch, out_indices=(3,), out_norm=True).eval()
        backbone(torch.empty(1, 3, 224, 224))
    classifier = 1000 * (backbone.feature_info[-1].channels + 1)
    parameters = sum(parameter.numel() for parameter in backbone.parameters()) + classifier
    assert round(parameters / 1e6, 1) == 18.6
    assert counter.get_total_flops() / 2e9 == pytest.approx(4.3, abs=0.06)


@pytest.mark.parametrize('name', ResMLP.variants)
def test_layer_scale_starts_at_the_official_value(name):
    with torch.device('meta'):
        backbone = mmvmlp.build_backbone(f'resmlp_{name}')
    official = {'s12': 0.1, 's12_p8': 0.1, 's24': 1e-5, 's36': 1e-6, 'b24': 1e-6, 'b24_p8': 1e-6}
    assert backbone.stages[3].blocks[0].scale2.initial_value == official[name]


@pytest.mark.parametrize(
    ('field', 'value'), [('depth', 3), ('channels', 0), ('image_size', 18), ('patch_size', 2.5)]
)
def test_architectures_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(ValueError, match=f'{field}={value}'):
        ResMLP({**SMALL_ARCH, field: value})


def test_checkpoint_of_another_patch_size_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('resmlp_s12_p8'), official_state_dict('resmlp_s12')
        )
