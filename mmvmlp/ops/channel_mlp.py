"""Channel mixing: the MLP at each position that all vision MLPs have."""

from typing import Any

import torch
from torch import nn

from mmvmlp.ops.pointwise import is_plain, pointwise
from mmvmlp.ops.recomputed import LinearGELULinear, as_autocast, keeps_for_backward


class ChannelMLP(nn.Module):
    """Two pointwise convolutions with a GELU in between.

    For the backward pass, the hidden features are kept before the GELU only.

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
        self.fc1: Any = nn.Conv2d(channels, hidden, 1)
        self.fc2: Any = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels at each position: (N, C, H, W) to (N, C, H, W)."""
        if not (keeps_for_backward() and is_plain(self.fc1) and is_plain(self.fc2)):
            return pointwise(self.fc2, pointwise(self.fc1, x, 'gelu'))
        x, weight1, bias1, weight2, bias2 = as_autocast(
            x, self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias
        )
        tokens = x.permute(0, 2, 3, 1)
        mixed: torch.Tensor = LinearGELULinear.apply(  # type: ignore[no-untyped-call]
            tokens.reshape(-1, x.shape[1]), weight1.flatten(1), bias1, weight2.flatten(1), bias2
        )
        return mixed.view(tokens.shape).permute(0, 3, 1, 2)
