"""S2-MLP against its paper: there are no official weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import s2_mlp as reference
from torch import nn
from torch.nn import functional

import mmvmlp
from mmvmlp.backbones.s2_mlp import S2MLP
from mmvmlp.ops import Affine, LayerNorm2d

SMALL_ARCH = {'depth': 4, 'channels': 8, 'patch_size': 4}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    # The formulas of section 3.4, and a norm behind the patch embedding and before each MLP.
    [('s2_mlp_wide', 72_241_384), ('s2_mlp_deep', 53_917_288)],
)
def test_classifiers_have_the_size_of_the_papers_formulas_with_norms(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    arch = model.backbone.arch
    c, r, n, p = arch.channels, 4, arch.depth, arch.patch_size
    formula = (3 * p**2 + 1) * c + n * (c**2 * (2 * r + 2) + c * (3 + r)) + (c + 1) * 1000
    assert parameters == formula + 2 * c * (2 * n + 1)


def test_deep_is_affine_and_wide_normalises():
    kinds = {'s2_mlp_wide': LayerNorm2d, 's2_mlp_deep': Affine}
    for name, kind in kinds.items():
        with torch.device('meta'):
            backbone = mmvmlp.build_backbone(name)
        norms = [m for m in backbone.modules() if isinstance(m, (LayerNorm2d, Affine))]
        assert len(norms) == 1 + 2 * backbone.arch.depth
        assert all(isinstance(norm, kind) for norm in norms)


def literal(backbone: S2MLP, image: torch.Tensor, shift=reference.algorithm_1) -> torch.Tensor:
    """Compute the last map step by step, on a map (H, W, C)."""
    patch = backbone.arch.patch_size
    _, channels, height, width = image.shape
    patches = image.reshape(channels, height // patch, patch, width // patch, patch)
    patches = patches.permute(1, 3, 0, 2, 4).flatten(2)
    x = norm(linear(patches, backbone.stem.conv), backbone.stem.norm)
    for stage in backbone.stages:
        for block in stage.blocks:
            y = functional.gelu(linear(norm(x, block.norm1), block.fc1))
            y = shift(y.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
            x = x + linear(y, block.fc2)
            y = functional.gelu(linear(norm(x, block.norm2), block.channel_mlp.fc1))
            x = x + linear(y, block.channel_mlp.fc2)
    return x.permute(2, 0, 1)[None]


def linear(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    return x @ layer.weight.flatten(1).t() + layer.bias


def norm(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    if isinstance(layer, LayerNorm2d):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return x * layer.weight + layer.bias


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), affine=st.booleans())
@torch.no_grad()
def test_outputs_are_those_of_the_papers_formulas(rows, columns, affine):
    torch.manual_seed(rows)
    backbone = S2MLP({**SMALL_ARCH, 'affine': affine}, out_indices=(-1,)).double().eval()
    for module in backbone.modules():
        if isinstance(module, (LayerNorm2d, Affine)):
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
    image = torch.randn(1, 3, 4 * rows, 4 * columns, dtype=torch.float64)
    torch.testing.assert_close(backbone(image)[0], literal(backbone, image), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ('shift', 'still_group'),
    [
        *((shift, False) for shift in reference.DIRECTIONS),
        *((shift, True) for shift in reference.DIRECTIONS if shift != 'none'),
    ],
)
@torch.no_grad()
def test_ablations_shift_as_their_names_say(shift, still_group):
    torch.manual_seed(0)
    arch = {**SMALL_ARCH, 'channels': 20, 'shift': shift, 'still_group': still_group}
    backbone = S2MLP(arch, out_indices=(-1,)).double().eval()
    image = torch.randn(1, 3, 12, 20, dtype=torch.float64)
    expected = literal(backbone, image, lambda x: reference.ablated_shift(x, shift, still_group))
    torch.testing.assert_close(backbone(image)[0], expected, rtol=1e-11, atol=1e-11)


def test_groups_without_channels_or_meaning_are_refused():
    with pytest.raises(ValueError, match=r"channels=4: at least 9, .*'eight_directions'.*accepted"):
        S2MLP({**SMALL_ARCH, 'channels': 4, 'shift': 'eight_directions', 'still_group': True})
    with pytest.raises(ValueError, match=r"still_group=True: with shift='none', .*accepted"):
        S2MLP({**SMALL_ARCH, 'shift': 'none', 'still_group': True})


@pytest.mark.parametrize(('field', 'value'), [('depth', 3), ('channels', 6), ('patch_size', 0)])
def test_architectures_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(ValueError, match=f'{field}={value}'):
        S2MLP({**SMALL_ARCH, field: value})


def test_own_checkpoints_load():
    backbone, other = S2MLP(SMALL_ARCH), S2MLP(SMALL_ARCH)
    report = mmvmlp.load_checkpoint(other, {'state_dict': backbone.state_dict()})
    assert not (report.missing or report.unexpected or report.mismatched)
    assert torch.equal(
        other.stages[3].blocks[0].fc2.weight, backbone.stages[3].blocks[0].fc2.weight
    )
