"""Affine: a scale and an offset for each channel, without statistics.

Source: ResMLP (arXiv 2105.03404), equation 1; the deep S2-MLP has it, too.
"""

import torch
from torch import nn

from mmvmlp.registry import MODELS


@MODELS.register_module('Affine')
class Affine(nn.Module):
    """Scales and moves each channel of a map; it stands where other networks normalise.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and move: (N, C, H, W) to (N, C, H, W)."""
        return (x * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def extra_repr(self) -> str:
        """Return what ``print(module)`` shows in the brackets."""
        return f'channels={len(self.weight)}'
