"""Exported backbones of every family agree with the original at sizes the exporter has not seen."""

import pytest
import torch

from mmvmlp.backbones.base import registered_families
from mmvmlp.deploy.export import (
    export_program,
    onnx_contents,
    relative_difference,
)
from mmvmlp.deploy.runtimes import RUNTIMES, load_runtime
from mmvmlp.deploy.sizes import ImageSizes

FAMILIES_AND_POLICIES = [
    (family, resolution)
    for family in registered_families()
    for resolution in ([None] if family.size_free else ['resize', 'window', 'native'])
]


def exported(family, **kwargs):
    torch.manual_seed(0)
    fewer = {'depths': (1, 2, 1, 1)} if 'depths' in family.small_arch else {'depth': 4}
    backbone = family(arch={**family.small_arch, **fewer}, out_norm=True, **kwargs).eval()
    for name, statistic in backbone.named_buffers():
        # Those of a trained network are not 0 and 1.
        if 'running' in name:
            statistic.uniform_(0.5, 1.5)
    sizes = ImageSizes.of(backbone)
    names = [f'map{level}' for level in range(4)]
    return backbone, onnx_contents(export_program(backbone, sizes), names, {})


@pytest.mark.parametrize(
    ('family', 'resolution'),
    FAMILIES_AND_POLICIES,
    ids=lambda value: getattr(value, '__name__', str(value)),
)
@torch.no_grad()
def test_every_family_agrees_in_both_runtimes_at_unseen_sizes(family, resolution):
    backbone, contents = exported(family, resolution=resolution)
    runtimes = [load_runtime(name, contents, threads=1) for name in RUNTIMES]
    sizes = [(1, 64, 64)] if resolution == 'native' else [(1, 64, 64), (3, 97, 160), (2, 288, 129)]
    for batch, height, width in sizes:
        images = torch.randn(batch, 3, height, width)
        expected = backbone(images)
        for runtime in runtimes:
            for ours, theirs in zip(runtime(images), expected, strict=True):
                assert relative_difference(torch.from_numpy(ours), theirs) <= 1e-4
