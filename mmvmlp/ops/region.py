"""Region mixing along one axis: circular shift, mixing of neighbouring tokens, shift back.

Source: Hire-MLP (arXiv 2108.13341), section 3.2; official file ``hire_mlp.py``, class
``HireMLP``. The official code moves the tokens of a region into channels and applies a pointwise
convolution; this equals a convolution whose kernel and stride are the region, and restoring the
tokens is its transpose.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.norm import build_norm
from mmvmlp.ops.pointwise import is_plain
from mmvmlp.ops.recomputed import (
    GatheredConvolution,
    as_autocast,
    gathered,
    keeps_for_backward,
)


def take_circular(x: torch.Tensor, dim: int, start: int, length: int, period: int) -> torch.Tensor:
    """Take consecutive rows or columns with circular indexing.

    This shifts, pads and crops in one pass. Unlike slices, gathering adds no size constraints to
    exported graphs, keeps the channels-last layout, and has a faster backward pass.

    Args:
        x: Feature map (N, C, H, W).
        dim: 2 for rows, 3 for columns.
        start: First index; negative ones count from the end of the period.
        length: Number of rows or columns.
        period: Period of the indices, at most the size of ``dim``.
    """
    return gathered(x, dim, circular(start, length, period, x.device))


def circular(start: int, length: int, period: int, device: torch.device) -> torch.Tensor:
    """Return consecutive indices, modulo the period."""
    return (torch.arange(length, device=device) + start) % period


class RegionMixing(nn.Module):
    """Mixes all channels of the tokens in each region along H or W.

    The feature map is circularly shifted by ``shift``, circularly padded at its end to a multiple
    of the region, reduced to C/2 channels per region (no bias; norm; ReLU), expanded to C channels
    per token, cropped and shifted back.

    Args:
        channels: Number of channels C.
        region: Tokens per region.
        shift: Shift of the regions in tokens; any integer.
        axis: Axis along which tokens are mixed.
        norm_cfg: Norm after the reduction.
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
        # Constant padding, for exported graphs: the convolution ignores an incomplete last region.
        taken = circular(-self.shift, side + self.region - 1, side, x.device)
        if keeps_for_backward() and is_plain(self.reduce):
            x, weight = as_autocast(x, self.reduce.weight)
            reduced = GatheredConvolution.apply(  # type: ignore[no-untyped-call]
                x, weight, self.dim, taken
            )
        else:
            reduced = self.reduce(gathered(x, self.dim, taken))
        hidden = functional.relu(self.norm(reduced))
        return take_circular(self.expand(hidden), self.dim, self.shift, side, period=side)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'region={self.region}, shift={self.shift}, dim={self.dim}'


class RegionExpansion(nn.Module):
    """Transposed convolution with the region as kernel and stride, and a bias for each position.

    ``torch.nn.ConvTranspose2d`` has one bias per channel; here each token of a region has its own.

    Args:
        in_channels: Channels of a region.
        out_channels: Channels of each token.
        region: Tokens per region.
        axis: Axis along which regions lie.
    """

    def __init__(
        self, in_channels: int, out_channels: int, region: int, axis: Literal['height', 'width']
    ) -> None:
        super().__init__()
        self.dim = 2 if axis == 'height' else 3
        self.kernel = (region, 1) if axis == 'height' else (1, region)
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *self.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels, *self.kernel))
        # As in the equivalent pointwise convolution, the fan-in of both is `in_channels`.
        bound = 1 / math.sqrt(in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, regions: torch.Tensor) -> torch.Tensor:
        """Expand regions to tokens: (N, in, H, W) to (N, out, H * h, W * w)."""
        tokens = functional.conv_transpose2d(regions, self.weight, stride=self.kernel)
        token = torch.arange(tokens.shape[self.dim], device=tokens.device)
        return tokens + self.bias.index_select(self.dim - 1, token % self.kernel[self.dim - 2])
