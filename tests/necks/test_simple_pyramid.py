"""Pyramid for networks of one or two strides: sizes, alignment, gradients, use in the toolboxes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS
from torch.export import Dim

import mmvmlp
from mmvmlp.necks.simple_pyramid import SimplePyramid

PATCH_SIZES = (8, 14, 16, 32)

every_patch_size = pytest.mark.parametrize('patch_size', PATCH_SIZES)


@every_patch_size
@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_maps_cover_the_image_at_their_strides(patch_size, height, width):
    pyramid = SimplePyramid(16, patch_size)
    maps = pyramid([torch.randn(2, 16, height, width)])
    assert [info.stride for info in pyramid.feature_info] == [4, 8, 16, 32]
    for level, info in zip(maps, pyramid.feature_info, strict=True):
        sides = [math.ceil(side * patch_size / info.stride) for side in (height, width)]
        assert level.shape == (2, info.channels, *sides)
        assert level.is_contiguous()
        assert level.isfinite().all()
    sum(level.square().mean() for level in maps).backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())


@every_patch_size
def test_positions_are_aligned_with_their_pixels(patch_size):
    torch.manual_seed(0)
    pyramid = SimplePyramid(16, patch_size)
    x = torch.randn(1, 16, 1, 448 // patch_size, requires_grad=True)
    for level, info in zip(pyramid([x]), pyramid.feature_info, strict=True):
        for position in range(level.shape[3]):
            (gradient,) = torch.autograd.grad(level[..., position].sum(), x, retain_graph=True)
            tokens = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
            begin, end = tokens.min().item() * patch_size, (tokens.max().item() + 1) * patch_size
            centre = (position + 0.5) * info.stride
            assert begin <= centre <= end
            assert end - begin <= 3 * max(patch_size, info.stride)


def test_native_stride_is_unchanged_and_coarser_ones_are_max_pooled():
    x = torch.randn(1, 8, 5, 7)
    assert torch.equal(SimplePyramid(8, 16, out_strides=(16,))([x])[0], x)
    pooled = SimplePyramid(8, 16, out_strides=(32,))([x])[0]
    assert torch.equal(pooled, torch.nn.functional.max_pool2d(x, 2, ceil_mode=True))


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        ({'in_channels': 0}, 'in_channels=0'),
        ({'in_channels': True}, 'in_channels=True'),
        ({'in_channels': 8, 'stride': True}, 'stride=True'),
        ({'in_channels': 8, 'out_strides': (True, 4)}, r'out_strides=\(True, 4\)'),
        ({'in_channels': 8, 'out_strides': 4}, 'out_strides=4'),
        ({'in_channels': 8, 'norm_cfg': 'BN'}, "norm_cfg='BN'"),
        ({'in_channels': 6}, 'in_channels=6.*multiple of 4'),
        ({'in_channels': 8, 'stride': 14.0}, r'stride=14\.0'),
        ({'in_channels': 8, 'out_strides': (8, 4)}, r'out_strides=\(8, 4\)'),
        ({'in_channels': 8, 'out_strides': ()}, 'out_strides'),
        ({'in_channels': 8, 'norm_cfg': {'type': 'none'}}, 'norm_cfg'),
        ({'in_channels': (8, 16)}, 'stride=16.*fine to coarse'),
        ({'in_channels': (8, 16), 'stride': (14, 7)}, r'stride=\(14, 7\).*fine to coarse'),
        ({'in_channels': (8, 16, 16), 'stride': (7, 14)}, r'in_channels=\(8, 16, 16\).*2 positive'),
        ({'in_channels': (8, 0), 'stride': (7, 14)}, 'in_channels=0'),
        ({'in_channels': '8'}, "in_channels='8'"),
        (
            {'in_channels': (8, 16), 'stride': (4, 8), 'out_strides': (8, 16)},
            r'stride=\(4, 8\).*out_strides=\(8, 16\).*leave out \[4\]',
        ),
        ({'in_channels': (9, 16), 'stride': (7, 14)}, 'in_channels=9.*stride 7 to 4'),
    ],
)
def test_invalid_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        SimplePyramid(**arguments)
    eight, two = np.int64(8), np.int64(2)
    assert SimplePyramid(eight, two * 8, (eight, two * 8)).feature_info[1].channels == 8


def test_each_level_is_built_from_the_map_of_the_nearest_stride():
    torch.manual_seed(0)
    pyramid = SimplePyramid((8, 16), (7, 14))
    channels = [(info.channels, info.stride) for info in pyramid.feature_info]
    assert channels == [(4, 4), (8, 8), (16, 16), (16, 32)]
    fine = torch.randn(1, 8, 10, 14, requires_grad=True)
    coarse = torch.randn(1, 16, 5, 7, requires_grad=True)
    levels = pyramid((fine, coarse))
    assert [tuple(level.shape[2:]) for level in levels] == [(18, 25), (9, 13), (5, 7), (3, 4)]
    alone = SimplePyramid(8, 7), SimplePyramid(16, 14)
    assert torch.equal(levels[1], alone[0]([fine])[1])
    assert torch.equal(levels[3], alone[1]([coarse])[3])
    for level, used in zip(levels, (fine, fine, coarse, coarse), strict=True):
        gradients = torch.autograd.grad(level.sum(), (fine, coarse), allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [used is fine, used is coarse]


def test_another_number_of_maps_is_refused_with_a_fix():
    x = torch.randn(1, 8, 5, 7)
    with pytest.raises(ValueError, match=r'4 maps.*out_indices=\(-1,\)'):
        SimplePyramid(8)([x] * 4)
    with pytest.raises(ValueError, match='1 maps: SimplePyramid takes 2; .*out_indices'):
        SimplePyramid((8, 8), (7, 14))([x])


@every_patch_size
def test_exports_with_any_height_and_width(patch_size):
    pyramid = SimplePyramid(16, patch_size).eval()
    sides = {2: Dim('height', min=5, max=256), 3: Dim('width', min=5, max=256)}
    exported = torch.export.export(
        pyramid, ([torch.randn(2, 16, 9, 10)],), dynamic_shapes=([sides],)
    ).module()
    for height, width in ((5, 5), (7, 40), (12, 6)):
        x = torch.randn(2, 16, height, width)
        for ours, theirs in zip(pyramid([x]), exported([x]), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['s2_mlp_deep', 'resmlp_s12', 'resmlp_s12_p8', 'mlp_mixer_s32'])
def test_works_with_mmdets_fpn(name):
    from mmdet.utils import register_all_modules

    register_all_modules()
    backbone = mmvmlp.build_backbone(name, out_indices=(-1,), out_norm=True).eval()
    (info,) = backbone.feature_info
    pyramid = {'type': 'mmvmlp.SimplePyramid', 'in_channels': info.channels, 'stride': info.stride}
    channels = [level.channels for level in SimplePyramid(info.channels, info.stride).feature_info]
    neck = MODELS.build(
        [pyramid, {'type': 'mmdet.FPN', 'in_channels': channels, 'out_channels': 8, 'num_outs': 5}]
    )
    maps = neck(backbone(torch.randn(1, 3, 64, 96)))
    assert [tuple(level.shape[2:]) for level in maps] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


def test_works_with_mmsegs_head():
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    backbone = mmvmlp.build_backbone('mlp_mixer_s16', out_indices=(-1,), out_norm=True).eval()
    segmentor = MODELS.build(
        {
            'type': 'mmseg.EncoderDecoder',
            'backbone': {
                'type': 'mmvmlp.MLPMixer',
                'arch': 's16',
                'out_indices': (-1,),
                'out_norm': True,
            },
            'neck': [{'type': 'mmvmlp.SimplePyramid', 'in_channels': 512}],
            'decode_head': {
                'type': 'mmseg.UPerHead',
                'in_channels': [128, 256, 512, 512],
                'in_index': [0, 1, 2, 3],
                'channels': 16,
                'num_classes': 5,
                'align_corners': False,
            },
        }
    ).eval()
    assert mmvmlp.load_checkpoint(segmentor, backbone.state_dict())
    assert segmentor(torch.randn(1, 3, 64, 96)).shape == (1, 5, 16, 24)
