"""Operators of the image-size policies, which networks skip at their native size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvmlp.ops.resample import (
    interpolation_matrix,
    joined_windows,
    resized,
    resized_bicubic,
    split_into_windows,
    window_matrix,
)

DOUBLE = torch.zeros((), dtype=torch.float64)
sizes = st.integers(1, 90)


@given(size=sizes)
def test_interpolation_to_the_same_size_is_the_identity(size):
    torch.testing.assert_close(
        interpolation_matrix(size, size, DOUBLE), torch.eye(size).double(), rtol=0, atol=1e-12
    )


@given(size=sizes, new_size=sizes)
def test_interpolation_keeps_constants_and_uses_every_token(size, new_size):
    matrix = interpolation_matrix(size, new_size, DOUBLE)
    assert matrix.shape == (new_size, size)
    torch.testing.assert_close(matrix.sum(1), torch.ones(new_size).double())
    assert (matrix >= 0).all()
    assert (matrix.sum(0) > 0).all()


@pytest.mark.parametrize('dim', [1, 2])
@settings(deadline=None)
@given(length=sizes, new_size=sizes)
def test_resizing_equals_pytorchs_antialiased_interpolation(dim, length, new_size):
    shape = [2, 5, 7, 3]
    shape[dim] = length
    x = torch.randn(shape, dtype=torch.float64)
    size = list(x.shape[1:3])
    size[dim - 1] = new_size
    expected = torch.nn.functional.interpolate(
        x.permute(0, 3, 1, 2), size, mode='bilinear', antialias=True
    )
    torch.testing.assert_close(resized(x, dim, new_size), expected.permute(0, 2, 3, 1))


@settings(deadline=None)
@given(height=sizes, width=sizes, new_height=sizes, new_width=sizes)
def test_bicubic_resizing_equals_pytorchs(height, width, new_height, new_width):
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(x, (new_height, new_width), mode='bicubic')
    torch.testing.assert_close(resized_bicubic(x, new_height, new_width), expected)


@pytest.mark.parametrize('dim', [1, 2])
@given(length=sizes, size=st.integers(1, 20))
def test_joining_inverts_splitting(dim, length, size):
    shape = [2, 5, 7, 3]
    shape[dim] = length
    x = torch.randn(shape)
    windows = split_into_windows(x, dim, size)
    assert windows.shape[dim] == size
    assert torch.equal(joined_windows(windows, dim, length), x)


@given(length=sizes, size=st.integers(1, 20))
def test_window_matrix_equals_mixing_in_windows(length, size):
    matrix = torch.randn(size, size, dtype=torch.float64)
    x = torch.randn(2, length, 3, 4, dtype=torch.float64)
    windows = split_into_windows(x, 1, size)
    mixed = joined_windows(torch.einsum('ij,njwc->niwc', matrix, windows), 1, length)
    by_matrix = torch.einsum('ij,njwc->niwc', window_matrix(matrix, length), x)
    torch.testing.assert_close(by_matrix, mixed)
