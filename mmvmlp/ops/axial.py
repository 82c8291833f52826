"""Axial token mixing: a linear layer along rows or along columns.

Source: sMLPNet (arXiv 2109.05422), section 3.2.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from mmvmlp.ops.resample import (
    Resolution,
    mix_at_native_size,
    product_along,
    resampling_matrices,
    window_matrix,
)


class AxialMixing(nn.Module):
    """Mixes the tokens of each column (axis 'height') or row (axis 'width'), in each channel alike.

    Args:
        tokens: Tokens per column or row at the native size.
        axis: Axis along which tokens are mixed.
        resolution: Policy for other sizes.
    """

    def __init__(
        self, tokens: int, axis: Literal['height', 'width'], resolution: Resolution
    ) -> None:
        super().__init__()
        self.dim = 1 if axis == 'height' else 2
        self.resolution: Resolution = resolution
        self.weight = nn.Parameter(torch.empty(tokens, tokens))
        self.bias = nn.Parameter(torch.empty(tokens))
        bound = 1 / math.sqrt(tokens)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix along the axis: (N, C, H, W) to (N, C, H, W)."""
        x = x.permute(0, 2, 3, 1)
        if self.resolution == 'window':
            # Most of this matrix is zeros, and one product with it still takes no longer than
            # cutting the map into windows and joining them; a graph holds for every size.
            length = x.shape[self.dim]
            token = torch.arange(length, device=x.device) % len(self.bias)
            mixed = product_along(
                x, self.dim, window_matrix(self.weight, length), self.bias.index_select(0, token)
            )
        else:
            native = {self.dim: len(self.weight)}
            mixed = mix_at_native_size(x, native, self.resolution, self._mix)
        return mixed.permute(0, 3, 1, 2)

    def _mix(self, x: torch.Tensor) -> torch.Tensor:
        return product_along(x, self.dim, self.weight, self.bias)

    @staticmethod
    def native_shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
        """Return the shapes of such a layer's weights, from the length of its bias."""
        tokens = len(weights['bias'])
        return {'weight': torch.Size((tokens, tokens)), 'bias': torch.Size((tokens,))}

    def resampled(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights of such a layer of another native size for this one's.

        The layer then gives what the other one gives at this size with ``resolution='resize'``.

        Args:
            weights: ``weight`` and ``bias`` of the other layer.
        """
        weight, bias = weights['weight'].double(), weights['bias'].double()
        there, back = resampling_matrices(len(bias), len(self.bias), weight)
        return {'weight': back @ weight @ there, 'bias': back @ bias}

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'tokens={len(self.weight)}, dim={self.dim}, resolution={self.resolution!r}'
