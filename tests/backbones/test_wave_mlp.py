"""Wave-MLP: its published sizes, its norms, and how phases mix."""

import pytest
import torch
from parity import official_state_dict
from torch import nn

import mmvmlp
from mmvmlp import WaveMLP
from mmvmlp.backbones.wave_mlp import PhaseAwareMixing

SMALL_ARCH = WaveMLP.small_arch


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('wave_mlp_t_dw', 15_286_472),
        ('wave_mlp_t', 17_193_160),
        ('wave_mlp_s', 30_708_040),
        ('wave_mlp_m', 44_056_632),
        ('wave_mlp_b', 63_586_360),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ('name', 'norms', 'stem_norm'),
    [
        ('wave_mlp_t', {nn.BatchNorm2d}, True),
        ('wave_mlp_s', {nn.BatchNorm2d, mmvmlp.ops.MapNorm}, True),
        ('wave_mlp_m', {nn.BatchNorm2d, mmvmlp.ops.MapNorm}, False),
    ],
)
def test_norms_are_those_of_the_official_code(name, norms, stem_norm):
    with torch.device('meta'):
        backbone = mmvmlp.build_backbone(name)
    found = {type(m) for m in backbone.modules() if 'Norm' in type(m).__name__} - {
        type(backbone.stem)
    }
    assert found == norms
    assert isinstance(backbone.stem.norm, nn.Identity) != stem_norm
    assert isinstance(backbone.stages[0].blocks[0].token_mixing.width.phase_norm, nn.BatchNorm2d)


@torch.no_grad()
def test_real_parts_mix_into_the_first_half_of_the_channels():
    torch.manual_seed(0)
    mixing = PhaseAwareMixing(4, 'width', False, {'type': 'BN'}).double().eval()
    x = torch.randn(1, 4, 3, 9, dtype=torch.float64)
    amplitude = mixing.amplitude(x)
    phase = mixing.phase_norm(mixing.phase(x)).relu()
    parts = torch.cat([amplitude * phase.cos(), amplitude * phase.sin()], 1)
    expected = torch.zeros_like(x)
    for channel in range(4):
        for column in range(9):
            for offset in range(-3, 4):
                if 0 <= column + offset < 9:
                    pair = parts[0, 2 * channel : 2 * channel + 2, :, column + offset]
                    weights = mixing.window.weight[channel, :, 0, offset + 3]
                    expected[0, channel, :, column] += (weights[:, None] * pair).sum(0)
    torch.testing.assert_close(mixing(x), expected)


@pytest.mark.parametrize('whole_map_norm', [True, False])
@torch.no_grad()
def test_depthwise_phases_are_fused(whole_map_norm):
    arch = {**SMALL_ARCH, 'depthwise_phase': True, 'whole_map_norm': whole_map_norm}
    backbone = WaveMLP(arch).double().eval()
    for norm in backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
    images = torch.randn(1, 3, 70, 97, dtype=torch.float64)
    for ours, theirs in zip(mmvmlp.fuse(backbone)(images), backbone(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_checkpoint_of_another_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('wave_mlp_s'), official_state_dict('wave_mlp_t')
        )
