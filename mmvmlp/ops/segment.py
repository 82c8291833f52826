"""Segment mixing: a linear layer along rows or columns, across small segments of the channels.

Source: ViP (arXiv 2106.12368), section 3.1 and algorithm 1, there called Permute-MLP.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.resample import Resolution, mix_at_native_size


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
        self.linear = nn.Linear(tokens * segment, tokens * segment, bias=False)

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
        segments = torch.unflatten(x, 3, (-1, self.segment)).movedim(self.dim, 3)
        mixed = torch.unflatten(self.linear(segments.flatten(3)), 3, (self.tokens, self.segment))
        return mixed.movedim(3, self.dim).flatten(3)

    def _mix_by_convolution(self, x: torch.Tensor) -> torch.Tensor:
        """Mix in windows by a convolution, whose graph holds for every size."""
        axis, window = self.dim + 1, (self.tokens, 1)
        if axis == 3:
            window = window[::-1]
        completed = torch.arange(x.shape[axis] + self.tokens - 1, device=x.device)
        completed = completed.clamp(max=x.shape[axis] - 1)
        segments = torch.unflatten(x.index_select(axis, completed), 1, (-1, self.segment))
        weight = torch.unflatten(self.linear.weight, 1, (self.tokens, self.segment))
        weight = torch.unflatten(weight.transpose(1, 2), 2, window)
        mixed = functional.conv2d(segments.flatten(0, 1), weight, stride=window)
        windows = torch.unflatten(mixed, 1, (self.tokens, self.segment)).movedim(1, axis)
        joined = windows.flatten(axis, axis + 1)
        token = torch.arange(x.shape[axis], device=x.device)
        return torch.unflatten(joined.index_select(axis, token), 0, (x.shape[0], -1)).flatten(1, 2)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return (
            f'tokens={self.tokens}, segment={self.segment}, dim={self.dim}, '
            f'resolution={self.resolution!r}'
        )
