"""Split attention: a softmax over three branches for each channel, and a projection of their sum.

Source: Hou et al., "Vision Permutator" (arXiv 2106.12368), section 3.1, after ResNeSt; official
codes of Hire-MLP, Wave-MLP, CycleMLP and ViP, where it is called ``reweight``. S²-MLPv2 has a form
of its own (arXiv 2108.01072, section 3.2).
"""

from collections.abc import Sequence

import torch
from torch import nn

from mmvmlp.ops.pointwise import is_plain, pointwise
from mmvmlp.ops.recomputed import WeightedProjection, as_autocast, keeps_for_backward

BRANCHES = 3


class SplitAttention(nn.Sequential):
    """Weights of the branches: an MLP of their sum's mean (C to C/4 to 3C), and a softmax.

    Args:
        channels: Number of channels C.
        bias: True for linear layers with bias.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__(
            nn.Linear(channels, channels // 4, bias=bias),
            nn.GELU(),
            nn.Linear(channels // 4, channels * BRANCHES, bias=bias),
        )

    def pooled(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pool three branches (N, C, H, W) to what the weights are computed from: (N, C)."""
        # Summing the means saves a feature map for the sum.
        first, second, third = (branch.mean((2, 3)) for branch in branches)
        return first + second + third

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Compute the weights.

        Args:
            pooled: (N, C), as :meth:`pooled` computes it.

        Returns:
            (N, C, 3), which sum to 1.
        """
        scores: torch.Tensor = super().forward(pooled)  # type: ignore[no-untyped-call]
        return self._by_branch(scores).softmax(2)

    def _by_branch(self, scores: torch.Tensor) -> torch.Tensor:
        """View scores (N, 3C) as (N, C, 3)."""
        return scores.view(scores.shape[0], scores.shape[1] // BRANCHES, BRANCHES)


class SummedSplitAttention(SplitAttention):
    """Split attention of S²-MLPv2: of sums over all positions in place of means, without biases.

    Its scores are ordered by branch, and by channel within a branch.

    Args:
        channels: Number of channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, bias=False)

    def pooled(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        first, second, third = (branch.sum((2, 3)) for branch in branches)
        return first + second + third

    def _by_branch(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.view(scores.shape[0], BRANCHES, scores.shape[1] // BRANCHES).transpose(1, 2)


def attended_projection(
    branches: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    attention: SplitAttention,
    projection: nn.Conv2d,
) -> torch.Tensor:
    """Weight the branches, add them and project the sum.

    Args:
        branches: Maps (N, C, H, W).
        attention: Computes the weights.
        projection: Pointwise convolution.

    Returns:
        (N, C, H, W).
    """
    weights = attention(attention.pooled(branches))
    if keeps_for_backward() and is_plain(projection):
        return _recomputed(branches, weights.permute(2, 0, 1)[:, :, None], projection)
    of_first, of_second, of_third = weights[:, :, :, None, None].unbind(2)
    mixed = branches[0] * of_first + branches[1] * of_second + branches[2] * of_third
    return pointwise(projection, mixed)


def _recomputed(
    branches: tuple[torch.Tensor, ...], weights: torch.Tensor, projection: nn.Conv2d
) -> torch.Tensor:
    """Project the weighted sum (weights: (3, N, 1, C)) without keeping it for the backward pass."""
    batch, channels, *sides = branches[0].shape
    assert projection.bias is not None
    *maps, weights, matrix, bias = as_autocast(
        *branches, weights, projection.weight, projection.bias
    )
    tokens = (each.permute(0, 2, 3, 1).flatten(1, 2) for each in maps)
    projected: torch.Tensor = WeightedProjection.apply(  # type: ignore[no-untyped-call]
        *tokens, weights, matrix.flatten(1), bias
    )
    return projected.view(batch, *sides, channels).permute(0, 3, 1, 2)
