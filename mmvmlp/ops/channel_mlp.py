"""Channel mixing: the per-position MLP that every network of the family has."""

import torch
from torch import nn


class ChannelMLP(nn.Module):
    """Two pointwise layers with a GELU between them, on an NCHW map.

    Args:
        channels: Channels of the map.
        ratio: Hidden channels over ``channels``.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.activation = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels of every position: (N, C, H, W) to (N, C, H, W)."""
        mixed: torch.Tensor = self.fc2(self.activation(self.fc1(x)))
        return mixed
