"""ViP: its published sizes, its checkpoints' layouts, and its literal transcription."""

from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import official_state_dict
from reference import assert_equal_to_literal
from reference import vip as reference

import mmvmlp
from mmvmlp import ViP
from mmvmlp.analysis.complexity import count_complexity
from mmvmlp.config.loading import load_config
from mmvmlp.ops import SegmentMixing

COMMON = {'depths': (2, 1, 2, 1), 'mlp_ratio': 3.0, 'image_size': 32}
# One of each layout, with as many segments as tokens, which the official code needs.
SMALL_ARCHS = {
    'small7': {
        'channels': (16, 24, 24, 24),
        'strides': (4, 8, 8, 8),
        'segments': (8, 4, 4, 4),
        **COMMON,
    },
    'medium7': {
        'channels': (16, 16, 24, 24),
        'strides': (4, 4, 8, 8),
        'segments': (8, 8, 4, 4),
        **COMMON,
    },
    'small14': {
        'channels': (24, 24, 24, 24),
        'strides': (8, 8, 8, 8),
        'segments': (4, 4, 4, 4),
        **COMMON,
    },
}


@pytest.mark.parametrize(
    ('arch', 'parameters', 'macs'),
    [
        ('small14', 29_892_904, 6.856e9),
        ('small7', 25_114_984, 6.902e9),
        ('medium7', 55_272_488, 16.284e9),
        ('large7', 87_784_936, 24.340e9),
    ],
)
def test_classifiers_have_the_published_size_and_cost(arch, parameters, macs):
    config = load_config('configs/classify_vip_small7.py')
    config.model.backbone.arch = arch
    config.model.head.in_channels = ViP.variants[arch].channels[-1]
    parts = count_complexity(config, 224, 224)
    assert sum(part.parameters for part in parts) == parameters
    assert sum(part.macs for part in parts) == pytest.approx(macs, rel=1e-3)


@pytest.mark.parametrize('name', SMALL_ARCHS)
@torch.no_grad()
def test_checkpoints_of_every_layout_give_the_formulas_outputs(name):
    torch.manual_seed(0)
    theirs = reference.Permutator(SMALL_ARCHS[name]).double()
    for parameter in theirs.parameters():
        # What starts as ones or zeros would hide a mistake.
        if parameter.ndim == 1:
            parameter.uniform_(0.5, 1.5)
    ours = ViP(SMALL_ARCHS[name], out_indices=(3,), out_norm=True).double().eval()
    report = mmvmlp.load_checkpoint(ours, {'state_dict': theirs.state_dict()})
    assert not (report.missing or report.unexpected or report.mismatched)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = theirs(image).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours(image)[0], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('name', ['vip_small14', 'vip_medium7', 'vip_large7'])
def test_checkpoint_of_another_variant_is_refused(name):
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone(name), official_state_dict('vip_small7'))


@pytest.mark.parametrize('image_size', [16, 32, 56])
@torch.no_grad()
def test_resampled_weights_do_what_resizing_does(image_size):
    torch.manual_seed(0)
    arch = SMALL_ARCHS['small7']
    resized = ViP(arch).double().eval()
    official = reference.Permutator(arch).double().state_dict()
    mmvmlp.load_checkpoint(resized, official)
    other = ViP({**arch, 'image_size': image_size}, resolution='native').double().eval()
    if image_size != arch['image_size']:
        with pytest.raises(mmvmlp.CheckpointError, match='of different shape'):
            mmvmlp.load_checkpoint(other, official)
    mmvmlp.load_checkpoint(other, official, resample_tokens=True)
    image = torch.randn(1, 3, image_size, image_size, dtype=torch.float64)
    for ours, theirs in zip(other(image), resized(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_resampling_does_not_make_another_variant_fit():
    official = reference.Permutator(SMALL_ARCHS['small7']).state_dict()
    # Matrices of 16 rows are not those of segments of 3 channels.
    other = ViP({**SMALL_ARCHS['small7'], 'channels': (24,) * 4})
    with pytest.raises(mmvmlp.CheckpointError, match='of different shape'):
        mmvmlp.load_checkpoint(other, official, resample_tokens=True)


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(8, 80),
    width=st.integers(8, 80),
    resolution=st.sampled_from(['resize', 'window']),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution):
    torch.manual_seed(height)
    # Unlike in the published networks, there are not as many segments as tokens.
    arch = {**SMALL_ARCHS['medium7'], 'segments': (4, 2, 3, 6)}
    backbone = ViP(arch, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, SegmentMixing, reference.segment_mixing, image)


def test_published_networks_have_as_many_segments_as_tokens():
    for arch in ViP.variants.values():
        assert arch.segments == tuple(arch.image_size // stride for stride in arch.strides)


@pytest.mark.parametrize(
    ('field', 'value', 'named'),
    [
        ('segments', (32, 16, 16, 15), 'divisors of the channels'),
        ('channels', (192, 384, 384, 382), 'multiple of 4'),
        ('image_size', 231, 'multiple of the last stride 14'),
    ],
)
def test_architectures_that_cannot_be_built_are_refused(field, value, named):
    with pytest.raises(ValueError, match=rf'arch field {field}=.*{named}.*accepted'):
        ViP({**asdict(ViP.variants['small7']), field: value})
