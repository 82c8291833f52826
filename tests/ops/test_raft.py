"""Raft-token mixing of a column or row, compared with its literal transcription."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import raft_mlp as reference

from mmvmlp.ops import RaftMixing


@pytest.mark.parametrize('axis', ['height', 'width'])
@given(
    tokens=st.integers(1, 6),
    raft_size=st.integers(1, 3),
    rafts=st.integers(1, 3),
    length=st.integers(1, 15),
)
@torch.no_grad()
def test_mixing_equals_the_transcription(axis, tokens, raft_size, rafts, length):
    module = RaftMixing(tokens, axis, raft_size, 2.0, 'window').double()
    line = torch.randn(length, raft_size * rafts, dtype=torch.float64)
    # Two equal lines beside each other: neighbours must not mix.
    x = line.t()[None, :, :, None].repeat(1, 1, 1, 2)
    x = x if axis == 'height' else x.transpose(2, 3)
    mixed = module(x)
    mixed = mixed if axis == 'height' else mixed.transpose(2, 3)
    expected = reference.mixed_in_windows(line, module).t()
    torch.testing.assert_close(mixed, expected[None, :, :, None].repeat(1, 1, 1, 2))
