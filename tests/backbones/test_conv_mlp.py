"""ConvMLP: its published sizes, levels, drop path rates and checkpoints."""

import pytest
import torch
from parity import official_state_dict

import mmvmlp
from mmvmlp import ConvMLP
from mmvmlp.ops import DropPath

SMALL_ARCH = ConvMLP.small_arch


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [('conv_mlp_s', 9_022_920), ('conv_mlp_m', 17_410_504), ('conv_mlp_l', 42_728_440)],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize('before', [True, False])
@torch.no_grad()
def test_levels_are_taken_before_or_after_the_blocks(before):
    backbone = ConvMLP(SMALL_ARCH, levels_before_blocks=before).eval()
    entering, leaving = [], []
    for stage in backbone.stages:
        stage.blocks[0].register_forward_pre_hook(lambda _, given: entering.append(given[0]))
        stage.blocks[-1].register_forward_hook(lambda *call: leaving.append(call[-1]))
    maps = backbone(torch.randn(1, 3, 70, 97))
    expected = [*(entering if before else leaving)[:3], leaving[3]]
    for level, wanted in zip(maps, expected, strict=True):
        assert torch.equal(level, wanted)


@pytest.mark.parametrize('out_indices', [(0,), (0, 1), (2, 0), (0, 1, 2)])
@torch.no_grad()
def test_official_weights_load_without_the_blocks_after_the_last_level(out_indices):
    official = official_state_dict('conv_mlp_s')
    whole = mmvmlp.build_backbone('conv_mlp_s').eval()
    part = mmvmlp.build_backbone('conv_mlp_s', out_indices=out_indices).eval()
    mmvmlp.load_checkpoint(whole, official)
    report = mmvmlp.load_checkpoint(part, official)
    assert not report.missing
    assert not part.stages[-1].blocks
    images = torch.randn(1, 3, 64, 96)
    expected = whole(images)
    for level, index in zip(part(images), out_indices, strict=True):
        assert torch.equal(level, expected[index])


def test_drop_path_starts_anew_in_each_stage_of_mlps():
    backbone = ConvMLP({**SMALL_ARCH, 'depths': (2, 3, 1, 2)}, drop_path_rate=0.1)
    rates = [
        [m.rate for m in stage.modules() if isinstance(m, DropPath)] for stage in backbone.stages
    ]
    assert rates == [[], [0, 0.05, 0.1], [0], [0, 0.1]]


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match='levels_before_blocks=1'):
        ConvMLP(SMALL_ARCH, levels_before_blocks=1)


def test_checkpoint_of_a_bigger_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('conv_mlp_m'), official_state_dict('conv_mlp_s')
        )
