"""The spatial shift against the paper's algorithm and against a convolution."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import s2_mlp as reference

from mmvmlp.ops import spatial_shift

sides = st.integers(1, 9)


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_is_algorithm_1_with_border_rows_that_keep_their_value(height, width, quarter):
    x = torch.randn(1, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.algorithm_1(x))


@given(height=sides, width=sides, quarter=st.integers(1, 3))
def test_shift_is_a_depthwise_convolution_with_replicated_borders(height, width, quarter):
    x = torch.randn(2, 4 * quarter, height, width)
    assert torch.equal(spatial_shift(x), reference.depthwise_convolution(x))


def test_input_is_left_alone():
    x = torch.randn(1, 4, 3, 3)
    before = x.clone()
    spatial_shift(x)
    assert torch.equal(x, before)
