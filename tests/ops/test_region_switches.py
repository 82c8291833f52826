"""Region mixing with switches of the ablations against its literal transcription."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import hire_mlp as reference

from mmvmlp.ops.region import RegionMixing
from mmvmlp.ops.region_switches import RegionSwitches, SwitchedRegionMixing, build_region_mixing

SWITCHES = st.builds(
    RegionSwitches,
    padding=st.sampled_from(['circular', 'zero', 'reflect', 'replicate']),
    restoration=st.booleans(),
    exchange=st.sampled_from(['shift', 'shuffle']),
    layers=st.integers(1, 3),
)


def randomised(mixing):
    """Return a module in float64 whose statistics are random."""
    for module in mixing.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    return mixing.double().eval()


@settings(max_examples=150, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    region=st.integers(1, 5),
    shift=st.integers(-5, 15),
    axis=st.sampled_from(['height', 'width']),
    switches=SWITCHES,
    seed=st.integers(0, 2**16),
)
@torch.no_grad()
def test_mixing_equals_what_the_switches_say(sides, region, shift, axis, switches, seed):
    torch.manual_seed(seed)
    mixing = SwitchedRegionMixing(8, region, shift, axis, {'type': 'BN'}, switches)
    mixing = randomised(mixing)
    x = torch.randn(2, 8, *sides, dtype=torch.float64)
    literal = reference.switched_region_mixing(x, mixing, shift, switches)
    torch.testing.assert_close(mixing(x), literal, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('axis', ['height', 'width'])
@torch.no_grad()
def test_without_a_switch_it_equals_the_published_mixing(axis):
    published = build_region_mixing(8, 3, 2, axis, {'type': 'BN'}, RegionSwitches())
    assert type(published) is RegionMixing
    published = randomised(published)
    switched = SwitchedRegionMixing(8, 3, 2, axis, {'type': 'BN'}, RegionSwitches())
    switched.double().eval().load_state_dict(published.state_dict())
    x = torch.randn(2, 8, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(switched(x), published(x), rtol=1e-12, atol=1e-12)
