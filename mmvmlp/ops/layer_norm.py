"""Layer norm over the channels of a feature map."""

import torch
from torch import nn

from mmvmlp.registry import MODELS


@MODELS.register_module('LN2d')
class LayerNorm2d(nn.LayerNorm):
    """Normalises the channels at each position of an NCHW feature map.

    Args:
        channels: Number of channels.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise: (N, C, H, W) to (N, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
