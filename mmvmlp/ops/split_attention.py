"""Split attention: a softmax over three branches for each channel, and a projection of their sum.

Source: Hou et al., "Vision Permutator" (arXiv 2106.12368), section 3.1, after ResNeSt; official
codes of Hire-MLP, Wave-MLP, CycleMLP and ViP, where it is called ``reweight``.
"""

import torch
from torch import nn

from mmvmlp.ops.pointwise import is_plain, pointwise
from mmvmlp.ops.recomputed import WeightedProjection, as_autocast, keeps_for_backward

BRANCHES = 3


class SplitAttention(nn.Sequential):
    """Weights of the branches: an MLP of their sum's mean (C to C/4 to 3C), and a softmax.

    Args:
        channels: Number of channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Linear(channels, channels // 4),
            nn.GELU(),
            nn.Linear(channels // 4, channels * BRANCHES),
        )

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Compute the weights.

        Args:
            pooled: (N, C), the mean over all positions of the branches' sum.

        Returns:
            (N, C, 3), which sum to 1.
        """
        scores: torch.Tensor = super().forward(pooled)  # type: ignore[no-untyped-call]
        return scores.view(*pooled.shape, BRANCHES).softmax(2)


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
    # Summing the means saves a feature map for the sum.
    first, second, third = (branch.mean((2, 3)) for branch in branches)
    weights = attention(first + second + third)
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
