"""Backbones compute in lower precision, with at most the error that the documentation states."""

import copy
import math

import pytest
import torch

from mmvmlp import HireMLP, fuse
from mmvmlp.analysis.precision import LARGEST_ERRORS, PRECISIONS, measure_precision
from mmvmlp.backbones.base import registered_families

every_family = pytest.mark.parametrize(
    'family', registered_families(), ids=lambda family: family.__name__
)


def small(family):
    torch.manual_seed(0)
    return family(arch=family.small_arch, out_norm=family.has_final_norm).eval()


@every_family
def test_errors_stay_within_the_stated_bounds(family):
    backbone = small(family)
    before = copy.deepcopy(backbone.state_dict())
    errors = list(measure_precision(backbone, torch.randn(2, 3, 97, 130)))
    assert [(each.fused, each.precision) for each in errors] == [
        (fused, precision) for fused in (False, True) for precision in PRECISIONS
    ]
    for each in errors:
        # At least the error of rounding the outputs: otherwise it computed in float32.
        least = torch.finfo(getattr(torch, each.precision.dtype)).eps / 4
        assert least < each.maps < LARGEST_ERRORS[each.precision.dtype], each
        assert each.features < LARGEST_ERRORS[each.precision.dtype], each
    assert all(torch.equal(backbone.state_dict()[key], before[key]) for key in before)


@every_family
@pytest.mark.parametrize('precision', PRECISIONS, ids=str)
def test_maps_have_the_lower_precision(family, precision):
    backbone, images = small(family), torch.randn(1, 3, 64, 96)
    for form in (backbone, fuse(backbone)):
        maps = precision.run(form, images)
        assert {level.dtype for level in maps} == {getattr(torch, precision.dtype)}


def test_an_overflow_is_not_within_any_bound():
    backbone = small(HireMLP)
    with torch.no_grad():
        backbone.stem.conv.weight.mul_(1e6)
        backbone.stem.norm.running_var.mul_(1e12)
    errors = {
        (each.fused, each.precision.dtype): each.maps
        for each in measure_precision(backbone, torch.randn(1, 3, 64, 64))
        if each.precision.in_weights
    }
    assert math.isnan(errors[False, 'float16'])
    assert errors[False, 'bfloat16'] < LARGEST_ERRORS['bfloat16']
    # Its folded weights are small again.
    assert errors[True, 'float16'] < LARGEST_ERRORS['float16']


def test_training_mode_is_refused():
    backbone = small(registered_families()[0]).train()
    with pytest.raises(ValueError, match='training mode'):
        measure_precision(backbone, torch.randn(1, 3, 64, 64))
