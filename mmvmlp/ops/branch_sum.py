"""Sums of branches of a block, plain and weighted.

Source: sMLPNet (arXiv 2109.05422), section 4.3, the ablations of its fusion.
"""

from collections.abc import Sequence

import torch
from torch import nn

from mmvmlp.ops.split_attention import SplitAttention


class BranchSum(nn.Module):
    """Plain sum of branches."""

    def forward(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Add branches (N, C, H, W)."""
        return _stacked(branches).sum(3).permute(0, 3, 1, 2)


class WeightedBranchSum(nn.Module):
    """Sum of branches, each with a learnable weight for each channel.

    Args:
        branches: Number of branches.
        channels: Number of channels.
    """

    def __init__(self, branches: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(branches, channels))

    def forward(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Weight and add branches (N, C, H, W)."""
        return (_stacked(branches) * self.weight).sum(3).permute(0, 3, 1, 2)


class AttendedSum(nn.Module):
    """Sum of branches, weighted by split attention.

    Args:
        branches: Number of branches.
        channels: Number of channels.
    """

    def __init__(self, branches: int, channels: int) -> None:
        super().__init__()
        self.attention = SplitAttention(channels, branches=branches)

    def forward(self, branches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Weight and add branches (N, C, H, W)."""
        weights = self.attention.of(branches).mT[:, None, None]
        return (_stacked(branches) * weights).sum(3).permute(0, 3, 1, 2)


def _stacked(branches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack K branches (N, C, H, W) to (N, H, W, K, C)."""
    # A sum would take the layout of the first; those of mixed rows limit the sizes of graphs.
    return torch.stack([branch.permute(0, 2, 3, 1) for branch in branches], 3)
