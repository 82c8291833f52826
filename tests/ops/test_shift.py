"""Spatial shift, compared with the paper's algorithm and with a convolution."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import s2_mlp as reference

from mmvmlp.ops import spatial_shift

sides = st.integers(1, 9)


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_equals_algorithm_1(height, width, quarter):
    x = torch.randn(1, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.algorithm_1(x))


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_equals_a_depthwise_convolution_with_replicated_borders(height, width, quarter):
    x = torch.randn(2, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.depthwise_convolution(x))


def test_input_is_unchanged():
    x = torch.randn(1, 4, 3, 3)
    before = x.clone()
    spatial_shift(x)
    assert torch.equal(x, before)
