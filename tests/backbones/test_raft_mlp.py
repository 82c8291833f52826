"""RaftMLP: its published sizes, levels and checkpoints, and its literal transcription."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import official_state_dict
from reference import assert_equal_to_literal
from reference import raft_mlp as reference

import mmvmlp
from mmvmlp import RaftMLP
from mmvmlp.backbones.raft_mlp import RaftTokenMixing

SMALL_ARCH = RaftMLP.small_arch


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [('raft_mlp_s', 9_868_768), ('raft_mlp_m', 21_413_632), ('raft_mlp_l', 36_184_672)],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@settings(max_examples=10, deadline=None)
@given(
    height=st.integers(32, 140),
    width=st.integers(32, 140),
    resolution=st.sampled_from(['resize', 'window']),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution, seed):
    torch.manual_seed(seed)
    backbone = RaftMLP(SMALL_ARCH, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, RaftTokenMixing, reference.token_mixing, image)


@pytest.mark.parametrize('before', [True, False])
@torch.no_grad()
def test_the_first_level_is_taken_before_or_after_the_blocks(before):
    backbone = RaftMLP(SMALL_ARCH, levels_before_blocks=before).eval()
    entering, leaving = [], []
    for stage in backbone.stages:
        stage.blocks[0].register_forward_pre_hook(lambda _, given: entering.append(given[0]))
        stage.blocks[-1].register_forward_hook(lambda *call: leaving.append(call[-1]))
    maps = backbone(torch.randn(1, 3, 70, 97))
    expected = [entering[0] if before else leaving[0], *leaving[1:]]
    for level, wanted in zip(maps, expected, strict=True):
        assert torch.equal(level, wanted)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='levels_before_blocks=1'):
        RaftMLP(SMALL_ARCH, levels_before_blocks=1)


@pytest.mark.parametrize(
    ('field', 'value', 'accepted'),
    [
        ('channels', (8, 12, 15, 32), 'multiple of 2'),
        ('image_size', 100, 'multiple of 32'),
        ('token_mlp_ratio', 0.1, '1/4'),
    ],
)
def test_architectures_that_cannot_be_built_are_refused(field, value, accepted):
    with pytest.raises(ValueError, match=f'arch field {field}=.*{accepted}'):
        RaftMLP({**SMALL_ARCH, field: value})


@pytest.mark.parametrize('out_indices', [(0,), (0, 1)])
@torch.no_grad()
def test_checkpoints_load_into_backbones_without_the_last_stages(out_indices):
    torch.manual_seed(0)
    backbone = mmvmlp.build_backbone('raft_mlp_s', out_indices=out_indices)
    whole = mmvmlp.build_backbone('raft_mlp_s')
    for network in (backbone, whole):
        mmvmlp.load_checkpoint(network, official_state_dict('raft_mlp_s'))
    image = torch.randn(1, 3, 64, 96)
    for level, wanted in zip(backbone(image), whole(image), strict=False):
        torch.testing.assert_close(level, wanted)


def test_checkpoint_of_a_bigger_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('raft_mlp_m'), official_state_dict('raft_mlp_s')
        )
