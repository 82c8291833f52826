"""Effective receptive fields of networks with random weights."""

import pytest
import torch

from mmvmlp import S2MLP, ConvMLP, ResMLP, build_backbone, fuse
from mmvmlp.inspection.receptive_field import measure_receptive_fields, receptive_field_at


@pytest.mark.parametrize('family', [ConvMLP, S2MLP])
def test_gradients_are_within_reach(family):
    backbone = family(family.small_arch)
    fields = measure_receptive_fields(backbone, torch.randn(2, 3, 160, 224))
    assert len(fields) == sum(len(stage.blocks) for stage in backbone.stages) + (
        4 if family is ConvMLP else 1
    )
    for field in fields:
        assert field.gradient.max() == 1
        assert not (field.gradient > 0)[~field.reach].any()
        half, most = field.sides.values()
        assert 0 < half <= most
    assert not fields[-1].reach.all() or family is ConvMLP


def test_a_reach_that_leaves_out_positions_is_an_error(monkeypatch):
    monkeypatch.setattr(
        'mmvmlp.inspection.receptive_field.pixels_in_reach',
        lambda reaches, row, column: torch.zeros(64, 64, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match=r'PatchEmbedding: 256 pixels outside the stated reach'):
        measure_receptive_fields(ResMLP(ResMLP.small_arch), torch.randn(1, 3, 64, 64))


def test_centre_of_an_embedding_sees_its_patch():
    backbone = ResMLP(ResMLP.small_arch)
    stem, block, *_ = measure_receptive_fields(backbone, torch.randn(1, 3, 64, 64))
    assert stem.reach_extent == (16, 16)
    assert stem.gradient[32:48, 32:48].gt(0).all()
    assert block.reach_extent == (64, 64)


@pytest.mark.parametrize('family', [ConvMLP, S2MLP])
def test_the_middle_is_a_position_as_any_other(family):
    backbone, images = family(family.small_arch), torch.randn(1, 3, 160, 224)
    fields = measure_receptive_fields(backbone, images)
    at_middle = receptive_field_at(backbone, images, 0, (0.5, 0.5))
    (same,) = (field for field in fields if field.layer.name == at_middle.layer.name)
    assert at_middle.layer.name.startswith('stages.0.')
    assert torch.equal(at_middle.reach, same.reach)
    corner = receptive_field_at(backbone, images, 0, (0, 1))
    assert corner.reach[0, -1]
    assert not torch.equal(corner.reach, same.reach)
    assert not (corner.gradient > 0)[~corner.reach].any()
    with pytest.raises(ValueError, match='stage=4: 0 to 3'):
        receptive_field_at(backbone, images, 4, (0.5, 0.5))


def test_the_backbone_stays_as_it_is():
    backbone = build_backbone('conv_mlp_s', out_indices=(0,)).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    measure_receptive_fields(backbone, torch.randn(1, 3, 32, 32))
    assert backbone.training
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert all(torch.equal(before[name], now) for name, now in backbone.state_dict().items())


def test_fused_networks_are_refused():
    with pytest.raises(ValueError, match='fused S2MLP'):
        measure_receptive_fields(fuse(S2MLP(S2MLP.small_arch).eval()), torch.randn(1, 3, 64, 64))
