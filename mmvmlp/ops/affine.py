"""Affine layer: a scale and an offset for each channel, without statistics.

Source: ResMLP (arXiv 2105.03404), equation 1; also used in the deep S2-MLP.
"""

import torch
from torch import nn

from mmvmlp.registry import MODELS


@MODELS.register_module('Affine')
class Affine(nn.Module):
    """Scales and shifts each channel, in place of normalisation.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift: (N, C, H, W) to (N, C, H, W)."""
        return (x * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'channels={len(self.weight)}'
