"""Axial shift, compared with its formula."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import as_mlp as reference

from mmvmlp.ops import axial_shift


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    channels=st.integers(1, 17),
    size=st.sampled_from([1, 3, 5]),
    axis=st.sampled_from(['height', 'width']),
)
def test_shift_equals_the_formula(height, width, channels, size, axis):
    x = torch.randn(2, channels, height, width)
    expected = reference.axial_shift(x, axis, size)
    assert torch.equal(axial_shift(x, axis, size), expected)
    # Where gradients are wanted, whole-map operators run, as in graphs and on GPUs.
    assert torch.equal(axial_shift(x.requires_grad_(), axis, size), expected)


def test_last_group_has_the_rest_of_the_channels():
    x = torch.ones(1, 96, 1, 5)
    first_columns = axial_shift(x, 'width', 5)[0, :, 0, 0]
    # Groups of 20, 20, 20, 20 and 16 channels; those that move right leave a zero.
    assert first_columns.tolist() == [1] * 60 + [0] * 36
