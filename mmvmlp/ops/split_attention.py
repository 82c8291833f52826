"""Split attention: a softmax over three branches for each channel, and a projection of their sum.

Source: Hou et al., "Vision Permutator" (arXiv 2106.12368), section 3.1, after ResNeSt; official
codes of Hire-MLP, Wave-MLP, CycleMLP and ViP, where it is called ``reweight``. S²-MLPv2 has a form
of its own (arXiv 2108.01072, section 3.2).
"""

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.pointwise import is_plain, pointwise
from mmvmlp.ops.recomputed import WeightedProjection, as_autocast, keeps_for_backward

BRANCHES = 3


class SplitAttention(nn.Sequential):
    """Weights of the branches: an MLP of their sum's mean (C to C/4 to 3C), and a softmax.

    Args:
        channels: Number of channels C.
        bias: True for linear layers with bias.
        branches: Number of branches, below 3 for ablations only.
    """

    def __init__(self, channels: int, *, bias: bool = True, branches: int = BRANCHES) -> None:
        super().__init__(
            nn.Linear(channels, channels // 4, bias=bias),
            nn.GELU(),
            nn.Linear(channels // 4, channels * branches, bias=bias),
        )
        self.branches = branches

    def of(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute the weights (N, C, branches) of branches (N, C, H, W)."""
        # Summing the means saves a feature map for the sum.
        means = [branch.mean((2, 3)) for branch in branches]
        weights: torch.Tensor = self(functools.reduce(torch.add, means))
        return weights

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Compute the weights.

        Args:
            pooled: (N, C), the mean over all positions of the branches' sum.

        Returns:
            (N, C, branches), which sum to 1.
        """
        scores: torch.Tensor = super().forward(pooled)  # type: ignore[no-untyped-call]
        return scores.view(*pooled.shape, self.branches).softmax(2)


class SummedSplitAttention(SplitAttention):
    """Split attention of S²-MLPv2: of sums over all positions in place of means, without biases.

    Its scores are ordered by branch, and by channel within a branch. They are computed in float32
    at least, for sums are large: in float16 they overflow, and a softmax turns their rounding
    errors into other weights.

    Args:
        channels: Number of channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, bias=False)
        # With PyTorch's initial weights, sums would let one branch have each channel for itself.
        *_, last = self.parameters()
        nn.init.normal_(last, std=1e-3)

    def of(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        dtype = branches[0].dtype
        wide = torch.promote_types(dtype, torch.float32)
        first, second, third = (branch.sum((2, 3), dtype=wide) for branch in branches)
        device = first.device.type
        # There is no autocast on 'meta'.
        with nullcontext() if device == 'meta' else torch.autocast(device, enabled=False):
            weights: torch.Tensor = self(first + second + third)
        return weights.to(dtype)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Compute the weights.

        Args:
            pooled: (N, C), the sum over all positions and branches.

        Returns:
            (N, C, 3), which sum to 1.
        """
        fc1, gelu, fc2 = self
        scores = _widened(fc2, gelu(_widened(fc1, pooled)))
        by_branch = scores.view(scores.shape[0], BRANCHES, scores.shape[1] // BRANCHES)
        return by_branch.softmax(1).transpose(1, 2)


def _widened(linear: Any, x: torch.Tensor) -> torch.Tensor:
    """Apply a linear layer without bias, also if its weights have fewer bits than its input."""
    if linear.weight.dtype == x.dtype:
        y: torch.Tensor = linear(x)
        return y
    return functional.linear(x, linear.weight.to(x.dtype))


def attended_projection(
    branches: Sequence[torch.Tensor],
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
    weights = attention.of(branches)
    if len(branches) == BRANCHES and keeps_for_backward() and is_plain(projection):
        return _recomputed(branches, weights.permute(2, 0, 1)[:, :, None], projection)
    of_branches = weights[:, :, :, None, None].unbind(2)
    mixed = functools.reduce(torch.add, map(torch.mul, branches, of_branches))
    return pointwise(projection, mixed)


def _recomputed(
    branches: Sequence[torch.Tensor], weights: torch.Tensor, projection: nn.Conv2d
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
