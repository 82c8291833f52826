"""Ablations of the papers keep the contract of a backbone: gradients, fusing, exported graphs."""

import pytest
import torch
from randomised import randomised
from torch.export import Dim

import mmvmlp
from mmvmlp import S2MLP, ResMLP, SMLPNet, fuse

SPARSE = [
    {'local': False},
    {'sparse': (False, True, False, True)},
    {'order': 'serial', 'identity': False},
    {'identity': False, 'fusion': 'sum'},
    {'fusion': 'weighted_sum'},
    {'fusion': 'split_attention'},
    {'dense': True},
]
SHIFTS = [
    {'channels': 12, 'shift': 'eight_directions', 'still_group': True},
    {'shift': 'vertical'},
    {'shift': 'none'},
]
POLICIES = ('resize', 'window')
ABLATIONS = [
    *((SMLPNet, {'resolution': policy}, arch) for policy in POLICIES for arch in SPARSE),
    *((S2MLP, {}, arch) for arch in SHIFTS),
    *(
        (ResMLP, {'resolution': policy, 'norm_cfg': {'type': norm}}, {'token_mixing': mixing})
        for policy in POLICIES
        for norm in ('Affine', 'LN2d')
        for mixing in ('linear', 'mlp', 'none')
    ),
]


def each_of(ablations):
    return pytest.mark.parametrize(
        ('family', 'arguments', 'arch'),
        ablations,
        ids=lambda value: (
            getattr(value, '__name__', None) or '-'.join(str(item) for item in value.values())
        ),
    )


def built(family, arguments, arch):
    torch.manual_seed(0)
    return randomised(family({**family.small_arch, **arch}, **arguments).eval())


@each_of(ABLATIONS)
def test_all_parameters_are_trained(family, arguments, arch):
    backbone = built(family, arguments, arch).train()
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 70, 97))).backward()
    assert not [name for name, each in backbone.named_parameters() if each.grad is None]


@each_of(ABLATIONS)
@torch.no_grad()
def test_fusing_changes_no_output(family, arguments, arch):
    backbone = built(family, arguments, arch).double()
    images = torch.randn(2, 3, 101, 66, dtype=torch.float64)
    for level, expected in zip(fuse(backbone)(images), backbone(images), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-9, atol=1e-9)


# Exporting takes as long as there are blocks.
FIRST_STAGE = {'out_indices': (0,)}


@each_of(
    [
        (SMLPNet, FIRST_STAGE, {'depths': (1, 1, 1, 1), 'fusion': 'weighted_sum'}),
        (SMLPNet, FIRST_STAGE, {'depths': (1, 1, 1, 1), 'fusion': 'sum', 'identity': False}),
        (S2MLP, FIRST_STAGE, {**SHIFTS[0], 'depth': 4}),
        (
            ResMLP,
            {**FIRST_STAGE, 'norm_cfg': {'type': 'LN2d'}},
            {'depth': 4, 'token_mixing': 'mlp'},
        ),
    ]
)
@torch.no_grad()
def test_exported_graphs_take_any_size(family, arguments, arch):
    backbone = built(family, arguments, arch)
    sides = {2: Dim('height', min=64, max=2048), 3: Dim('width', min=64, max=2048)}
    graph = torch.export.export(
        backbone, (torch.randn(2, 3, 101, 130),), dynamic_shapes=(sides,)
    ).module()
    for height, width in ((96, 64), (113, 288)):
        images = torch.randn(2, 3, height, width)
        for level, expected in zip(graph(images), backbone(images), strict=True):
            torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-5)


@each_of([(SMLPNet, {}, {'dense': True}), (ResMLP, {}, {'token_mixing': 'mlp'})])
def test_hidden_tokens_of_another_native_size_are_refused(family, arguments, arch):
    weights = built(family, arguments, arch).state_dict()
    other = built(family, arguments, {**arch, 'image_size': 96})
    with pytest.raises(mmvmlp.CheckpointError, match='of different shape'):
        mmvmlp.load_checkpoint(other, weights, resample_tokens=True)
