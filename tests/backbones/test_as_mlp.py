"""AS-MLP: its published sizes, checkpoints, and what padding changes."""

import pytest
import torch
from parity import official_state_dict
from torch.nn import functional

import mmvmlp
from mmvmlp import ASMLP

SMALL_ARCH = ASMLP.small_arch


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [('as_mlp_t', 28_282_696), ('as_mlp_s', 49_594_696), ('as_mlp_b', 87_752_808)],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@torch.no_grad()
def change_by_padding(norm):
    """Return how much a map of an image changes, by column, when the image is padded."""
    torch.manual_seed(0)
    # One block, which looks two tokens far along each axis.
    arch = {**SMALL_ARCH, 'depths': (1, 1, 1, 1)}
    backbone = ASMLP(arch, norm_cfg={'type': norm}, out_indices=(0,)).double().eval()
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    (alone,), (padded,) = backbone(image), backbone(functional.pad(image, (0, 64)))
    return (padded[..., :16] - alone).abs().amax((0, 1, 2))


def test_padding_changes_every_position():
    everywhere, at_the_border = change_by_padding('GN1'), change_by_padding('LN2d')
    assert (everywhere > 1e-3).all()
    # With a norm of each position, only what the shifts reach changes.
    assert (at_the_border[:-2] < 1e-12).all()
    assert (at_the_border[-2:] > 1e-3).all()


def test_an_even_shift_size_is_refused():
    with pytest.raises(ValueError, match='shift_size=4: an odd integer is accepted'):
        ASMLP({**SMALL_ARCH, 'shift_size': 4})


@torch.no_grad()
def test_other_norms_are_fused():
    backbone = ASMLP(SMALL_ARCH, norm_cfg={'type': 'BN'}).double().eval()
    images = torch.randn(1, 3, 70, 97, dtype=torch.float64)
    for ours, theirs in zip(mmvmlp.fuse(backbone)(images), backbone(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_checkpoint_of_a_bigger_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('as_mlp_s'), official_state_dict('as_mlp_t'))
