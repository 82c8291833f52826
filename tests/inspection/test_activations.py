"""Findings about the outputs of layers."""

import pytest
import torch

from mmvmlp import HireMLP
from mmvmlp.backbones.base import registered_families
from mmvmlp.inspection.activations import measure_activations

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def findings(backbone):
    measured = measure_activations(backbone.eval(), IMAGES)
    return {each.layer.name: each.finding for each in measured if each.finding}


@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.name_prefix)
def test_untrained_networks_are_healthy(family):
    torch.manual_seed(0)
    assert findings(family(family.small_arch)) == {}


@torch.no_grad()
def test_dead_and_exploding_layers_are_found():
    backbone = HireMLP(HireMLP.small_arch)
    backbone.stages[2].downsample.norm.weight.zero_()
    assert findings(backbone)['stages.2.downsample'] == 'dead'
    backbone = HireMLP(HireMLP.small_arch)
    backbone.stages[1].blocks[1].channel_mlp.fc2.weight.mul_(1e7)
    assert next(iter(findings(backbone).items())) == ('stages.1.blocks.1', 'exploding')
    backbone.stages[1].blocks[1].channel_mlp.fc2.weight.fill_(torch.inf)
    assert next(iter(findings(backbone).items())) == ('stages.1.blocks.1', 'not finite')
    backbone = HireMLP(HireMLP.small_arch)
    backbone.stages[1].downsample.norm.weight.mul_(1e-6)
    assert findings(backbone)['stages.1.downsample'] == 'vanishing'


@torch.no_grad()
def test_statistics_are_those_of_the_output():
    backbone = HireMLP(HireMLP.small_arch).eval()
    *_, last = measure_activations(backbone, IMAGES)
    output = backbone(IMAGES)[-1]
    assert last.mean == pytest.approx(float(output.mean()), rel=1e-4)
    assert last.deviation == pytest.approx(float(output.std(correction=0)), rel=1e-4)
    assert last.largest == pytest.approx(float(output.abs().max()), rel=1e-4)
    assert last.dead_share == 0
