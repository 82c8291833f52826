"""Segment mixing: a linear layer along rows or columns, across small segments of the channels.

Source: ViP (arXiv 2106.12368), Permute-MLP; official file ``vip.py``, class ``WeightedPermuteMLP``.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.resample import Resolution, mix_at_native_size, resampling_matrices


class SegmentMixing(nn.Module):
    """Mixes the tokens of each column (axis 'height') or row (axis 'width') across a segment.

    A linear layer takes the tokens of a column or row in all channels of a segment, ordered by
    token and then by channel; segments are neighbouring channels and share its weights.

    Args:
        tokens: Tokens per column or row at the native size.
        segment: Channels of a segment.
        axis: Axis along which tokens are mixed.
        resolution: Policy for other sizes.
    """

    def __init__(
        self,
        tokens: int,
        segment: int,
        axis: Literal['height', 'width'],
        resolution: Resolution,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.segment = segment
        self.dim = 1 if axis == 'height' else 2
        self.resolution: Resolution = resolution
        self.linear = nn.Conv2d(tokens * segment, tokens * segment, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix along the axis: (N, C, H, W) to (N, C, H, W)."""
        if self.resolution == 'window' and torch.compiler.is_compiling():
            mixed = self._mix_by_convolution(x)
        else:
            native = {self.dim: self.tokens}
            x = x.permute(0, 2, 3, 1)
            mixed = mix_at_native_size(x, native, self.resolution, self._mix).permute(0, 3, 1, 2)
        return mixed.contiguous(memory_format=torch.channels_last)

    def _mix(self, x: torch.Tensor) -> torch.Tensor:
        """Mix a map (N, H, W, C) of native size."""
        segments = torch.unflatten(x, 3, (-1, self.segment)).movedim(self.dim, 3).flatten(3)
        mixed = pointwise(self.linear, segments.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        tokens = torch.unflatten(mixed, 3, (self.tokens, self.segment))
        return tokens.movedim(3, self.dim).flatten(3)

    def _mix_by_convolution(self, x: torch.Tensor) -> torch.Tensor:
        """Mix in windows by a convolution, and join them by one; a graph holds for every size."""
        axis = self.dim + 1
        window = (self.tokens, 1) if self.dim == 1 else (1, self.tokens)
        completed = torch.arange(x.shape[axis] + self.tokens - 1, device=x.device)
        completed = completed.clamp(max=x.shape[axis] - 1)
        segments = torch.unflatten(x.index_select(axis, completed), 1, (-1, self.segment))
        weight = self._by_token(self.linear.weight.flatten(1), window)
        mixed = functional.conv2d(segments.flatten(0, 1), weight, stride=window)
        one_each = torch.eye(len(weight), device=mixed.device, dtype=mixed.dtype)
        joined = functional.conv_transpose2d(mixed, self._by_token(one_each, window), stride=window)
        # The bounds check of `narrow` would specialise the graph to a size.
        joined = joined.index_select(axis, torch.arange(x.shape[axis], device=x.device))
        return torch.unflatten(joined, 0, (x.shape[0], -1)).flatten(1, 2)

    def _by_token(self, matrix: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
        """Reshape rows of a segment's tokens into kernels (rows, channels of a segment, window)."""
        tokens = torch.unflatten(matrix, 1, (self.tokens, self.segment))
        return torch.unflatten(tokens.transpose(1, 2), 2, window)

    @staticmethod
    def native_shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
        """Return the shape of such a layer's weight, from its number of elements."""
        rows = math.isqrt(weights['linear.weight'].numel())
        return {'linear.weight': torch.Size((rows, rows, 1, 1))}

    def resampled(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weight of such a layer of another native size for this one's.

        The layer then gives what the other one gives at this size with ``resolution='resize'``. The
        channels of a segment stay as they are; a weight of other segments is returned unchanged.

        Args:
            weights: ``linear.weight``.
        """
        weight = weights['linear.weight']
        tokens, rest = divmod(len(weight), self.segment)
        if rest:
            return dict(weights)
        matrix = weight.double().reshape(tokens, self.segment, tokens, self.segment)
        there, back = resampling_matrices(tokens, self.tokens, matrix)
        product = torch.einsum('oi,isjt,jk->oskt', back, matrix, there)
        return {'linear.weight': product.reshape(self.linear.weight.shape)}

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return (
            f'tokens={self.tokens}, segment={self.segment}, dim={self.dim}, '
            f'resolution={self.resolution!r}'
        )
