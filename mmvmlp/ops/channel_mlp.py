"""Channel mixing: the per-position MLP that every network of the family has."""

import torch
from torch import nn


class ChannelMLP(nn.Module):
    """Two pointwise layers with a GELU between them, on an NCHW map.

    Args:
        channels: Channels of the map.
        mlp_ratio: Hidden channels over ``channels``.

    Raises:
        ValueError: If ``mlp_ratio`` leaves no hidden channel.
    """

    def __init__(self, channels: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(channels * mlp_ratio)
        if hidden < 1:
            raise ValueError(
                f'mlp_ratio={mlp_ratio!r}: with {channels} channels at least 1/{channels} is '
                'accepted'
            )
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.activation = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels of every position: (N, C, H, W) to (N, C, H, W)."""
        mixed: torch.Tensor = self.fc2(self.activation(self.fc1(x)))
        return mixed
