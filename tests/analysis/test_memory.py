"""Networks of a fixed size must not pay for a detector's images with memory."""

import pytest

from mmvmlp.analysis.memory import RESET_PEAK, measure_forward_memory

on_linux = pytest.mark.skipif(not RESET_PEAK.exists(), reason='the peak is read on Linux only')


@on_linux
@pytest.mark.slow
def test_a_detectors_image_costs_other_families_no_more_than_hire_mlp():
    hire, *others = measure_forward_memory(
        ['hire_mlp_small', 'smlpnet_tiny', 'resmlp_s12'], 800, 1216
    )
    # Its first stage's map and the four times wider one inside the channel MLP live at once.
    assert hire.peak > 5 * 64 * 200 * 304 * 4
    for other in others:
        assert other.peak < 1.5 * hire.peak, (other, hire)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"'resnet50'.*hire_mlp_small"):
        next(measure_forward_memory(['resnet50'], 64, 64))
