"""Region mixing along one axis: circular shift, regions of neighbouring tokens, shift back.

Source: Hire-MLP (arXiv 2108.13341), section 3.2; official file ``hire_mlp.py``, class
``HireMLP``. There the map is rearranged so that the tokens of a region stand in the channels of
one position; mixing them by a pointwise convolution is the same as a convolution of the map as
it lies, with the region as kernel and stride, and the way back is its transpose.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.norm import build_norm


def take_circular(x: torch.Tensor, dim: int, start: int, length: int, period: int) -> torch.Tensor:
    """Take consecutive rows or columns of a map, counted on a circle.

    It shifts, pads and crops in one pass, wrapping as often as needed. That it gathers, and does
    not slice, keeps relations between sizes out of exported graphs, and channels-last maps
    channels-last; its backward pass is also faster than that of slices.

    Args:
        x: A map (N, C, H, W).
        dim: 2 for rows, 3 for columns.
        start: The first one taken; negative ones count from the end of the circle.
        length: How many are taken.
        period: The circle's length: the map's side, or less where its end is not used.
    """
    taken = (torch.arange(length, device=x.device) + start) % period
    # Of a view, for `index_select` of a channels-last map itself would give another layout.
    return x.movedim(1, 3).index_select(dim - 1, taken).movedim(3, 1)


class RegionMixing(nn.Module):
    """Mixes the channels of all tokens in a region, along H or along W.

    The map is shifted circularly by ``shift``, padded circularly at its end to a multiple of the
    region, reduced to C/2 channels a region (no bias; norm; ReLU), expanded to C channels for
    each of its tokens, cropped and shifted back.

    Args:
        channels: Channels C of the map.
        region: Tokens in a region.
        shift: Tokens by which the regions are moved; any integer, also beyond the side.
        axis: The axis along which regions lie.
        norm_cfg: The norm after the reduction.
    """

    def __init__(
        self,
        channels: int,
        region: int,
        shift: int,
        axis: Literal['height', 'width'],
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.region = region
        self.shift = shift
        self.dim = 2 if axis == 'height' else 3
        hidden = channels // 2
        kernel = (region, 1) if axis == 'height' else (1, region)
        self.reduce = nn.Conv2d(channels, hidden, kernel, stride=kernel, bias=False)
        self.norm = build_norm(norm_cfg, hidden)
        self.expand = RegionExpansion(hidden, channels, region, axis)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix within regions: (N, C, H, W) to (N, C, H, W), at any H and W."""
        side = x.shape[self.dim]
        # The padding does not depend on the side: of region - 1 tokens the convolution reads as
        # many as complete the last region.
        shifted = take_circular(x, self.dim, -self.shift, side + self.region - 1, period=side)
        hidden = functional.relu(self.norm(self.reduce(shifted)))
        return take_circular(self.expand(hidden), self.dim, self.shift, side, period=side)

    def extra_repr(self) -> str:
        """Return what ``print(module)`` shows in the brackets."""
        return f'region={self.region}, shift={self.shift}, dim={self.dim}'


class RegionExpansion(nn.Module):
    """A transposed convolution whose kernel is its stride, with a bias for each kernel position.

    ``torch.nn.ConvTranspose2d`` has one bias a channel; here each token of a region has its own.

    Args:
        in_channels: Channels of a region.
        out_channels: Channels of each of its tokens.
        region: Tokens in a region.
        axis: The axis along which regions lie.
    """

    def __init__(
        self, in_channels: int, out_channels: int, region: int, axis: Literal['height', 'width']
    ) -> None:
        super().__init__()
        self.dim = 2 if axis == 'height' else 3
        self.kernel = (region, 1) if axis == 'height' else (1, region)
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *self.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels, *self.kernel))
        # The pointwise convolution it stands for draws both from a fan-in of `in_channels`.
        bound = 1 / math.sqrt(in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, regions: torch.Tensor) -> torch.Tensor:
        """Expand regions to tokens: (N, in, H, W) to (N, out, H * h, W * w)."""
        tokens = functional.conv_transpose2d(regions, self.weight, stride=self.kernel)
        token = torch.arange(tokens.shape[self.dim], device=tokens.device)
        return tokens + self.bias.index_select(self.dim - 1, token % self.kernel[self.dim - 2])
