"""The networks that our speed is compared with compute what ours do."""

import pytest
import torch
from reference import networks
from torch import nn

import mmvmlp
from mmvmlp.backbones.hire_mlp import HireMLP
from mmvmlp.backbones.s2_mlp import S2MLP
from mmvmlp.backbones.smlpnet import SMLPNet


@pytest.mark.parametrize('name', ['hire_mlp_small', 'smlpnet_tiny', 's2_mlp_deep'])
def test_reference_networks_have_the_size_of_ours(name):
    with torch.device('meta'):
        pair = getattr(networks, name)(), mmvmlp.build_backbone(name)
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in pair]
    assert sizes[0] == sizes[1]


HIRE_DEPTHS, CHANNELS = (2, 1, 3, 1), (64, 128, 320, 512)


@pytest.mark.parametrize(
    ('reference', 'ours', 'shape'),
    [
        (
            lambda: networks.HireMLP(HIRE_DEPTHS),
            lambda: HireMLP({'depths': HIRE_DEPTHS, 'channels': CHANNELS}),
            (72, 101),
        ),
        (
            lambda: networks.SMLPNet((1, 2, 1, 1), 8, 3),
            lambda: SMLPNet({'depths': (1, 2, 1, 1), 'channels': 8}),
            (224, 224),
        ),
        (
            lambda: networks.S2MLP(8, 16),
            lambda: S2MLP({'depth': 8, 'channels': 16, 'affine': True}),
            (64, 96),
        ),
    ],
    ids=['HireMLP', 'SMLPNet', 'S2MLP'],
)
@torch.no_grad()
def test_reference_networks_give_our_maps(reference, ours, shape):
    torch.manual_seed(0)
    reference, ours = reference(), ours()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    state = reference.state_dict()
    if isinstance(ours, S2MLP):
        # Its linear layers are pointwise convolutions in ours.
        shapes = {key: tensor.shape for key, tensor in ours.state_dict().items()}
        state = {key: tensor.reshape(shapes[key]) for key, tensor in state.items()}
    report = mmvmlp.load_checkpoint(ours, state)
    assert not (report.missing or report.unexpected or report.mismatched)
    image = torch.randn(1, 3, *shape, dtype=torch.float64)
    ours, reference = ours.double().eval(), reference.double().eval()
    for level, expected in zip(ours(image), reference(image), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-9, atol=1e-9)
