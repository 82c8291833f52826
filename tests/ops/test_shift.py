"""Spatial shifts, compared with the papers' algorithms and with a convolution."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import s2_mlp as reference
from reference import s2_mlp_v2 as reference_v2

from mmvmlp.ops import spatial_shift
from mmvmlp.ops.shift import DOWN, LEFT, RIGHT, UP

SWAPPED = (DOWN, UP, RIGHT, LEFT)

sides = st.integers(1, 9)


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_equals_algorithm_1(height, width, quarter):
    x = torch.randn(1, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.algorithm_1(x))


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_equals_a_depthwise_convolution_with_replicated_borders(height, width, quarter):
    x = torch.randn(2, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.depthwise_convolution(x))


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_second_shift_of_s2_mlp_v2_swaps_the_axes(height, width, quarter):
    x = torch.randn(1, 4 * quarter, height, width)
    shifted = reference_v2.spatial_shift2(x[0].permute(2, 1, 0)).permute(2, 1, 0)[None]
    assert torch.equal(spatial_shift(x, SWAPPED), shifted)
    assert torch.equal(spatial_shift(x, SWAPPED).mT, spatial_shift(x.mT))


def test_input_is_unchanged():
    x = torch.randn(1, 4, 3, 3)
    before = x.clone()
    spatial_shift(x)
    assert torch.equal(x, before)
