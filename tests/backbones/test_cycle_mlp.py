"""CycleMLP: its published sizes, checkpoints with constants, and fused norms."""

import pytest
import torch
from parity import official_checkpoint, official_state_dict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mmvmlp
from mmvmlp import CycleMLP


@pytest.mark.parametrize(
    ('name', 'parameters', 'published_gflops'),
    [
        ('cycle_mlp_b1', 15_155_400, 2.1),
        ('cycle_mlp_b2', 26_802_504, 3.9),
        ('cycle_mlp_b3', 38_385_720, 6.9),
        ('cycle_mlp_b4', 51_796_552, 10.1),
        ('cycle_mlp_b5', 75_747_280, 12.3),
    ],
)
@torch.no_grad()
def test_classifiers_have_the_published_size(name, parameters, published_gflops):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000).eval()
        images = torch.empty(1, 3, 224, 224)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    normalised = []
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(lambda *call: normalised.append(call[-1].numel()))
    with FlopCounterMode(display=False) as counter:
        model(images)
    # The authors' counter, fvcore, adds 5 operations for each normalised value.
    operations = counter.get_total_flops() // 2 + 5 * sum(normalised)
    assert round(operations / 1e9, 1) == published_gflops


def test_constants_of_the_official_code_are_not_loaded():
    checkpoint = official_checkpoint('cycle_mlp_b1')
    report = mmvmlp.load_checkpoint(mmvmlp.build_classifier('cycle_mlp_b1', 1000), checkpoint)
    constants = [key for key in checkpoint['model'] if key.endswith('.offset')]
    assert len(report.matched) == len(checkpoint['model']) - len(constants)
    assert len(constants) == 20
    assert not report.unexpected


def test_checkpoint_of_another_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('cycle_mlp_b2'), official_state_dict('cycle_mlp_b1')
        )


@pytest.mark.parametrize('norm', ['LN2d', 'BN', 'GN1'])
@torch.no_grad()
def test_norms_with_offsets_are_fused(norm):
    torch.manual_seed(0)
    backbone = CycleMLP(CycleMLP.small_arch, norm_cfg={'type': norm}).double().eval()
    for name, parameter in backbone.named_parameters():
        if 'norm' in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    images = torch.randn(1, 3, 70, 97, dtype=torch.float64)
    for ours, theirs in zip(mmvmlp.fuse(backbone)(images), backbone(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
