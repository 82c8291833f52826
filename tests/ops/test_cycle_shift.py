"""Cycle shift and a pointwise layer, compared with the formula of a Cycle FC."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import cycle_mlp as reference
from torch.nn import functional

from mmvmlp.ops import cycle_shift


@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.integers(1, 8),
    axis=st.sampled_from(['height', 'width']),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_shift_and_projection_equal_the_formula(height, width, channels, axis, layout):
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    weight, bias = torch.randn(3, channels, dtype=torch.float64), torch.randn(3).double()
    expected = reference.cycle_fc(x, weight, bias, axis)
    # Where gradients are wanted, whole-map operators run, as in graphs and on GPUs.
    for moved in (x.contiguous(memory_format=layout), x.clone().requires_grad_()):
        mixed = functional.conv2d(cycle_shift(moved, axis), weight[..., None, None], bias)
        torch.testing.assert_close(mixed, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('axis', ['height', 'width'])
def test_backward_pass_shifts_back(axis):
    x = torch.randn(1, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: cycle_shift(x, axis), x)
