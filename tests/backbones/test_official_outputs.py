"""Networks with official weights put out what the official networks put out, in float64."""

import functools

import pytest
import torch
from parity import ParityCase, official_checkpoint, parity_cases

import mmvmlp


@functools.lru_cache(maxsize=1)
def loaded_network(model: str, kind: str) -> torch.nn.Module:
    """Return our classifier or backbone with the official weights."""
    normed = kind == 'normfeat'
    if kind == 'logits':
        network = mmvmlp.build_classifier(model, 1000)
    else:
        network = mmvmlp.build_backbone(model, out_norm=normed)
    network = network.double().eval()
    report = mmvmlp.load_checkpoint(network, official_checkpoint(model, extra_norms=normed))
    assert not (report.missing or report.mismatched)
    return network


@pytest.mark.parametrize('case', parity_cases(), ids=lambda case: f'{case.model}-{case.name}')
@torch.no_grad()
def test_outputs_are_the_official_ones(case: ParityCase):
    network = loaded_network(case.model, case.kind)
    if case.kind == 'logits':
        output = network(case.images())
    elif case.kind == 'block':
        output = case.output_of_block(network)
    else:
        output = network(case.images())[case.level]
    assert case.relative_error(output) < case.tolerance
