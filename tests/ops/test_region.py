"""Region mixing against its literal transcription."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import hire_mlp as reference

from mmvmlp.ops import RegionMixing
from mmvmlp.ops.region import take_circular


@given(
    sides=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    region=st.integers(1, 7),
    shift=st.integers(-5, 30),
    axis=st.sampled_from(['height', 'width']),
    seed=st.integers(0, 2**16),
)
def test_mixing_equals_the_rearrangement_of_the_paper(sides, region, shift, axis, seed):
    torch.manual_seed(seed)
    mixing = RegionMixing(8, region, shift, axis, {'type': 'BN'}).double().eval()
    mixing.norm.running_mean.normal_()
    mixing.norm.running_var.uniform_(0.5, 1.5)
    x = torch.randn(2, 8, *sides, dtype=torch.float64)
    torch.testing.assert_close(
        mixing(x), reference.region_mixing(x, mixing), rtol=1e-12, atol=1e-12
    )


@given(
    side=st.integers(1, 9),
    start=st.integers(-20, 20),
    length=st.integers(1, 30),
    dim=st.sampled_from([2, 3]),
)
def test_circular_indexing(side, start, length, dim):
    row = torch.arange(float(side))
    x = row[:, None] if dim == 2 else row[None, :]
    taken = take_circular(x[None, None], dim, start, length, period=side).flatten().tolist()
    assert taken == [float((start + i) % side) for i in range(length)]


@pytest.mark.parametrize('axis', ['height', 'width'])
def test_channels_last_stays_channels_last(axis):
    x = torch.randn(2, 8, 9, 10).contiguous(memory_format=torch.channels_last)
    mixed = RegionMixing(8, 3, 2, axis, {'type': 'BN'})(x)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('axis', ['height', 'width'])
def test_weights_are_initialised_like_the_equivalent_pointwise_layers(axis):
    torch.manual_seed(0)
    mixing = RegionMixing(64, 4, 0, axis, {'type': 'BN'})
    for layer, fan_in in ((mixing.reduce, 64 * 4), (mixing.expand, 32)):
        largest = layer.weight.abs().max().item()
        assert 0.95 * fan_in**-0.5 < largest <= fan_in**-0.5
