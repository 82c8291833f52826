"""Wave-MLP: its published sizes, its norms, and how phases mix."""

from dataclasses import asdict, replace

import pytest
import torch
from mmengine import fileio
from parity import official_state_dict
from torch import nn
from torch.nn import functional

import mmvmlp
from mmvmlp import WaveMLP
from mmvmlp.analysis.complexity import SHAPES, count_complexity
from mmvmlp.backbones.wave_mlp import PhaseAwareMixing
from mmvmlp.config.loading import load_config
from mmvmlp.ops import LayerNorm2d, MapNorm

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
    ('name', 'norm_cfg', 'stem', 'block', 'phase'),
    [
        ('wave_mlp_t', None, nn.BatchNorm2d, nn.BatchNorm2d, nn.BatchNorm2d),
        ('wave_mlp_s', None, MapNorm, MapNorm, nn.BatchNorm2d),
        ('wave_mlp_m', None, nn.Identity, MapNorm, nn.BatchNorm2d),
        ('wave_mlp_s', {'type': 'LN2d'}, LayerNorm2d, LayerNorm2d, nn.BatchNorm2d),
        ('wave_mlp_m', {'type': 'SyncBN'}, nn.Identity, nn.SyncBatchNorm, nn.SyncBatchNorm),
    ],
)
def test_norms(name, norm_cfg, stem, block, phase):
    with torch.device('meta'):
        backbone = mmvmlp.build_backbone(name, norm_cfg=norm_cfg)
    first = backbone.stages[0].blocks[0]
    assert type(backbone.stem.norm) is type(backbone.stages[1].downsample.norm) is stem
    assert type(first.norm1) is type(first.norm2) is block
    assert type(first.token_mixing.width.phase_norm) is phase


DETECTORS = [
    model
    for model in fileio.load('configs/metafiles/wave_mlp.yml')['Models']
    if 'FLOPs' in model['Metadata'].get('Published', {}) and 'fpn' in model['Name']
]


@pytest.mark.parametrize('model', DETECTORS, ids=lambda model: model['Name'])
def test_published_detectors_have_depthwise_phases(model):
    published = model['Metadata']['Published']
    config = load_config(model['Config'])
    variant = WaveMLP.variants[config.model.backbone.arch]
    config.model.backbone.arch = asdict(replace(variant, depthwise_phase=True))
    parts = count_complexity(config, *SHAPES[config.default_scope])
    assert sum(part.macs for part in parts) == pytest.approx(published['FLOPs'], rel=0.01)
    parameters = sum(part.parameters for part in parts)
    assert parameters == pytest.approx(published['Parameters'], rel=0.02)


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


@pytest.mark.parametrize(('whole_map_norm', 'changes_everywhere'), [(True, True), (False, False)])
@torch.no_grad()
def test_whole_map_norms_make_padding_change_every_position(whole_map_norm, changes_everywhere):
    torch.manual_seed(0)
    # Without weighting by the whole map, a block looks three tokens far.
    arch = {**SMALL_ARCH, 'depths': (1, 1, 1, 1), 'whole_map_norm': whole_map_norm}
    backbone = WaveMLP(arch, out_indices=(0,)).double().eval()
    nn.init.zeros_(backbone.stages[0].blocks[0].token_mixing.reweight[2].weight)
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    (alone,), (padded,) = backbone(image), backbone(functional.pad(image, (0, 64)))
    change = (padded[..., :16] - alone).abs().amax((0, 1, 2))
    assert (change[-3:] > 1e-6).all()
    assert (change[:-3] > 1e-6).all() == changes_everywhere
    assert (change[:-3] < 1e-12).all() != changes_everywhere


def test_checkpoint_of_another_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('wave_mlp_s'), official_state_dict('wave_mlp_t')
        )
