"""Exported backbones of every family agree with the original at sizes the exporter has not seen."""

import pytest
import torch
from torch import nn

from mmvmlp.backbones.base import registered_families
from mmvmlp.deploy.export import (
    PoolingByProducts,
    export_program,
    onnx_contents,
    relative_difference,
)
from mmvmlp.deploy.fuse import fuse
from mmvmlp.deploy.runtimes import RUNTIMES, load_runtime
from mmvmlp.deploy.sizes import ImageSizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'resolution'),
    [
        (family, resolution)
        for family in registered_families()
        for resolution in ([None] if family.size_free else ['resize', 'window'])
    ],
    ids=lambda value: getattr(value, '__name__', str(value)),
)
@torch.no_grad()
def test_every_family_agrees_in_both_runtimes_at_unseen_sizes(family, resolution):
    torch.manual_seed(0)
    # Tracing takes as long as there are blocks: two stages, and two blocks where they alternate.
    fewer = {'depths': (2, 1, 1, 1)} if 'depths' in family.small_arch else {'depth': 4}
    arch = {**family.small_arch, **fewer}
    backbone = family(arch=arch, resolution=resolution, out_indices=(0, 1)).eval()
    for name, statistic in backbone.named_buffers():
        # Those of a trained network are not 0 and 1.
        if name.endswith('running_mean'):
            statistic.uniform_(-0.5, 0.5)
        elif name.endswith('running_var'):
            statistic.uniform_(0.5, 1.5)
    sizes = ImageSizes.of(backbone)
    contents = onnx_contents(export_program(fuse(backbone), sizes), ['map0', 'map1'], {})
    runtimes = [load_runtime(name, contents, threads=1) for name in RUNTIMES]
    least = backbone.minimum_size
    for batch, height, width in ((1, least, least), (3, 97, 160), (2, 288, 129)):
        images = torch.randn(batch, 3, height, width)
        expected = backbone(images)
        for runtime in runtimes:
            for ours, theirs in zip(runtime(images), expected, strict=True):
                assert relative_difference(torch.from_numpy(ours), theirs) <= 1e-4


@pytest.mark.parametrize('bins', [(1, 2), (3, 3), (6, 5)])
def test_pooling_by_products_is_adaptive_pooling(bins):
    for height, width in ((6, 6), (7, 13), (2, 3)):
        x = torch.randn(2, 3, height, width, dtype=torch.float64)
        torch.testing.assert_close(PoolingByProducts(bins)(x), nn.AdaptiveAvgPool2d(bins)(x))


def test_a_difference_that_is_not_a_number_is_no_agreement():
    values = torch.tensor([1.0, float('nan')])
    assert not relative_difference(values, torch.ones(2)) <= 1e-4
    with pytest.raises(ValueError, match=r'\(2,\) instead of \(3,\)'):
        relative_difference(values, torch.ones(3))
