"""LayerScale: a learnable weight for each channel of a residual branch.

Source: Touvron et al., "Going deeper with Image Transformers" (arXiv 2103.17239), section 2.
"""

import torch
from torch import nn


class LayerScale(nn.Module):
    """Multiplies each channel of a branch by its weight.

    Args:
        channels: Number of channels.
        initial_value: Initial value of the weights.
    """

    def __init__(self, channels: int, initial_value: float) -> None:
        super().__init__()
        self.initial_value = initial_value
        self.weight = nn.Parameter(torch.full((channels,), initial_value))

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Scale the channels: (N, C, H, W) to (N, C, H, W)."""
        return (branch * self.weight[:, None, None]).to(branch.dtype)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'channels={len(self.weight)}, initial_value={self.initial_value}'
