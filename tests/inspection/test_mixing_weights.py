"""Token-mixing matrices, their locality, and the sparsity of weights."""

import pytest
import torch

from mmvmlp import S2MLP, MLPMixer, ResMLP, SMLPNet, ViP
from mmvmlp.inspection.mixing_weights import (
    MixingMatrix,
    measure_sparsity,
    mixing_matrices,
    zero_smallest_weights,
)


def along_one_axis(weight):
    return MixingMatrix('', '', 1, 'height', weight, (len(weight), 1))


def test_distance_is_the_mean_over_squared_weights():
    assert along_one_axis(torch.eye(5)).distance == 0
    neighbours = torch.eye(6).roll(1, 0)
    # One of the six comes around the end.
    assert along_one_axis(neighbours).distance == pytest.approx((5 * 1 + 5) / 6)
    # 3 ** 2 : 1 ** 2
    nearer = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    assert along_one_axis(nearer).distance == pytest.approx(0.1)
    equal = along_one_axis(-torch.ones(7, 7))
    assert equal.distance == pytest.approx(equal.distance_of_equal_weights)


def test_hidden_units_are_local_around_their_own_centre():
    weight = torch.zeros(2, 16)
    weight[0, 5], weight[1, [3, 12]] = 1, 1
    matrix = MixingMatrix('', '', 1, 'hidden units', weight, (4, 4))
    # The two tokens of the second unit are in opposite corners, each half a diagonal away.
    assert matrix.distance == pytest.approx((0 + 18**0.5 / 2) / 2)


def test_map_of_an_output_token_stands_at_its_place():
    weight = torch.randn(9, 9)
    image = MixingMatrix('', '', 1, 'all tokens', weight, (3, 3)).as_image()
    assert image.shape == (11, 11)
    assert torch.equal(image[4:7, 8:11], weight[1 * 3 + 2].view(3, 3))


@pytest.mark.parametrize(
    ('family', 'kinds', 'shapes'),
    [
        (ResMLP, ['all tokens'], {(16, 16)}),
        (MLPMixer, ['hidden units'], {(4, 64)}),
        (SMLPNet, ['width', 'height'], {(16, 16), (8, 8), (4, 4), (2, 2)}),
        (ViP, ['height', 'width'], {(16, 16), (8, 8)}),
        (S2MLP, [], set()),
    ],
)
def test_matrices_of_each_block_are_found(family, kinds, shapes):
    backbone = family(family.small_arch)
    matrices = mixing_matrices(backbone)
    blocks = sum(backbone.depths)
    assert [each.kind for each in matrices] == (kinds * blocks if kinds else [])
    assert {tuple(each.weight.shape) for each in matrices} == shapes


def test_sparsity_counts_weights_below_a_share_of_the_largest():
    backbone = ResMLP(ResMLP.small_arch)
    weight = backbone.stages[2].blocks[0].token_mixing.fc1.weight
    with torch.no_grad():
        weight.fill_(0.049).view(-1)[:64] = -1
    measured = {each.name: each for each in measure_sparsity(backbone)}
    found = measured['stages.2.blocks.0.token_mixing.fc1.weight']
    assert found.share == pytest.approx(1 - 64 / 256)
    assert (found.kind, found.block) == ('token_mixing.fc1', 3)


def test_smallest_weights_of_one_kind_are_zeroed():
    backbone = ResMLP(ResMLP.small_arch)
    block = backbone.stages[0].blocks[0]
    before, others = block.token_mixing.fc1.weight.clone(), block.channel_mlp.fc1.weight.clone()
    assert zero_smallest_weights(backbone, 'token_mixing', 0.25) == 5 * 256 // 4
    after = block.token_mixing.fc1.weight
    kept = after != 0
    assert kept.sum() == 192
    assert torch.equal(after[kept], before[kept])
    assert before[kept].abs().min() >= before[~kept].abs().max()
    assert torch.equal(block.channel_mlp.fc1.weight, others)


@pytest.mark.parametrize(
    ('kind', 'share', 'message'),
    [('token', 0.5, 'channel_mlp.fc1, channel_mlp.fc2'), ('channel_mlp', 1.5, 'from 0 to 1')],
)
def test_unknown_kinds_and_shares_are_refused(kind, share, message):
    with pytest.raises(ValueError, match=message):
        zero_smallest_weights(ResMLP(ResMLP.small_arch), kind, share)
