"""Channel mixing: the MLP at each position that all vision MLPs have."""

import torch
from torch import nn


class ChannelMLP(nn.Module):
    """Two pointwise convolutions with a GELU in between.

    Args:
        channels: Input and output channels.
        mlp_ratio: Ratio of hidden channels to ``channels``.

    Raises:
        ValueError: If ``mlp_ratio`` gives no hidden channels.
    """

    def __init__(self, channels: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(channels * mlp_ratio)
        if hidden < 1:
            raise ValueError(
                f'mlp_ratio={mlp_ratio!r}: at least 1/{channels} is accepted with {channels} '
                'channels'
            )
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.activation = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels at each position: (N, C, H, W) to (N, C, H, W)."""
        mixed: torch.Tensor = self.fc2(self.activation(self.fc1(x)))
        return mixed
