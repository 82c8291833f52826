"""Norm over all channels and positions of an image's feature map."""

import torch
from torch import nn

from mmvmlp.registry import MODELS


@MODELS.register_module('GN1')
class MapNorm(nn.GroupNorm):
    """Group norm with a single group: normalises each image's feature map as a whole.

    Statistics include all positions, so padding an image changes its output everywhere.

    Args:
        channels: Number of channels.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(1, channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise: (N, C, H, W) to (N, C, H, W)."""
        # Unlike functional.group_norm, it puts no conditions on sizes into exported graphs.
        return torch.group_norm(x, 1, self.weight, self.bias, self.eps)
