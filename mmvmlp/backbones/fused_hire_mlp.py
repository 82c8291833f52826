"""Inference form of Hire-MLP's blocks: the same outputs, with less arithmetic and fewer passes.

- Shifting by s, along H and W alike, commutes with everything else in a block. So the whole feature
  map is shifted once per block, relative to the block before, instead of four times.
- Batch norms fold into the products after them (norm1, norm2) and before them (the branches').
- The branch weights depend on means only, and the mean of an expanded branch is a product with the
  mean of its hidden regions. So the weights are known before the branches are expanded, and on
  large maps expansion, weighting and projection become one product per branch and image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops import RegionMixing, SplitAttention
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import channel_affine, pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.region import take_circular

if TYPE_CHECKING:
    from mmvmlp.backbones.hire_mlp import HireBlock

Axis = Literal['height', 'width']

TILE_TOKENS = 2048
"""Tokens of which the branches are added at a time, so that they stay in a core's cache."""


@lru_cache(maxsize=128)
def tokens_of_regions(height: int, width: int, region: int, axis: Axis) -> torch.Tensor:
    """Return the token, counted row by row, at each position of all regions.

    The last region of a column or row is completed from its start. Regions are counted row by row.
    """
    token = torch.arange(region)
    if axis == 'height':
        regions = torch.arange((height + region - 1) // region)
        rows = (regions[:, None, None] * region + token) % height
        return (rows * width + torch.arange(width)[:, None]).flatten()
    regions = torch.arange((width + region - 1) // region)
    columns = (regions[:, None] * region + token) % width
    return (torch.arange(height)[:, None, None] * width + columns).flatten()


@lru_cache(maxsize=128)
def positions_in_regions(height: int, width: int, region: int, axis: Axis) -> torch.Tensor:
    """Return the position of each token in :func:`tokens_of_regions`."""
    rows = torch.arange(height)[:, None]
    columns = torch.arange(width)
    if axis == 'height':
        return ((rows // region * width + columns) * region + rows % region).flatten()
    return (rows * ((width + region - 1) // region * region) + columns).flatten()


@lru_cache(maxsize=128)
def shifted_tokens(height: int, width: int, step: int) -> torch.Tensor:
    """Return the token that a circular shift along H and W moves to each position."""
    rows = (torch.arange(height)[:, None] - step) % height
    return (rows * width + (torch.arange(width) - step) % width).flatten()


class FusedRegionMixing(nn.Module):
    """Region mixing of unshifted maps in two steps: hidden regions, and their expansion.

    Args:
        mixing: Region mixing.
        axis: Its axis.
        gain: Scale of each channel before the mixing.
        offset: Offset of each channel before the mixing.
    """

    def __init__(
        self, mixing: RegionMixing, axis: Axis, gain: torch.Tensor, offset: torch.Tensor
    ) -> None:
        super().__init__()
        self.region = mixing.region
        self.axis: Axis = axis
        dtype = mixing.reduce.weight.dtype
        scale, shift = channel_affine(mixing.norm)
        # (hidden, token, channel): the channels of a token lie together.
        reduce = mixing.reduce.weight.double().flatten(2).transpose(1, 2)
        bias = scale * (reduce * offset).sum((1, 2)) + shift
        self.reduce = FusedLinear((reduce * gain).flatten(1) * scale[:, None], bias, dtype, 'relu')
        # (token, channel, hidden).
        expand = mixing.expand.weight.double().flatten(2).permute(2, 1, 0)
        expand_bias = mixing.expand.bias.double().flatten(1).t()
        self.expand = FusedLinear(expand.flatten(0, 1), expand_bias.flatten(), dtype)
        # Sums over the tokens of a region, from each token to the last.
        self.weight_sums = nn.Parameter(expand.flip(0).cumsum(0).flip(0).to(dtype))
        self.bias_sums = nn.Parameter(expand_bias.flip(0).cumsum(0).flip(0).to(dtype))

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce regions: (N, H, W, C) to (N, rows of regions, columns of regions, C / 2)."""
        batch, height, width, channels = x.shape
        number = ((height if self.axis == 'height' else width) + self.region - 1) // self.region
        shape = (number, width) if self.axis == 'height' else (height, number)
        if self.axis == 'height' or width % self.region:
            tokens = tokens_of_regions(height, width, self.region, self.axis)
            x = x.flatten(1, 2).index_select(1, tokens)
        hidden: torch.Tensor = self.reduce(x.reshape(batch, *shape, self.region * channels))
        return hidden

    def mixed(self, x: torch.Tensor) -> torch.Tensor:
        """Mix by convolutions, which hold for every size in one graph: (N, H, W, C) to the same."""
        dim, side = (1, x.shape[1]) if self.axis == 'height' else (2, x.shape[2])
        channels = x.shape[3]
        kernel = (self.region, 1) if self.axis == 'height' else (1, self.region)
        completed = take_circular(
            x.permute(0, 3, 1, 2), dim + 1, 0, side + self.region - 1, period=side
        )
        reduce = self.reduce.weight.view(-1, *kernel, channels).permute(0, 3, 1, 2)
        hidden = functional.conv2d(completed, reduce, self.reduce.bias, stride=kernel).relu()
        expand = self.expand.weight.view(*kernel, channels, -1).permute(3, 2, 0, 1)
        expanded = functional.conv_transpose2d(hidden, expand, stride=kernel).permute(0, 2, 3, 1)
        token = torch.arange(side, device=x.device)
        bias = self.expand.bias.view(self.region, channels).index_select(0, token % self.region)
        if self.axis == 'height':
            bias = bias[:, None]
        mixed: torch.Tensor = expanded.index_select(dim, token) + bias
        return mixed

    def in_order(self, expanded: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Bring expanded regions (N, rows, columns, region * C) into the map (N, H, W, C)."""
        channels = expanded.shape[3] // self.region
        positions = positions_in_regions(height, width, self.region, self.axis)
        tokens = expanded.reshape(expanded.shape[0], -1, channels).index_select(1, positions)
        return tokens.view(tokens.shape[0], height, width, channels)

    def mean(self, hidden: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return the mean (N, C) of the expanded tokens of a map."""
        dim, side = (1, height) if self.axis == 'height' else (2, width)
        number, across = hidden.shape[dim], hidden.shape[3 - dim]
        total = hidden.sum((1, 2)) @ self.weight_sums[0].t() + number * across * self.bias_sums[0]
        if rest := side % self.region:
            # Tokens that complete the last region do not count.
            last = hidden.select(dim, number - 1).sum(1)
            total = total - last @ self.weight_sums[rest].t() - across * self.bias_sums[rest]
        return total / (side * across)

    def composed(
        self, weight: torch.Tensor, projection: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compose expansion, weighting and projection.

        Args:
            weight: (N, C), the weight of this branch.
            projection: (C, C).

        Returns:
            Matrices (N, C / 2, region * C) and biases (N, region * C).
        """
        dtype = weight.dtype
        weight = weight[:, None, None]
        channels, hidden = projection.shape[0], self.expand.weight.shape[1]
        each = self.expand.weight.view(self.region, channels, hidden).transpose(1, 2)
        matrices = (each * weight) @ projection
        biases = (self.expand.bias.view(self.region, channels) * weight[:, 0]) @ projection
        return matrices.transpose(1, 2).flatten(2).to(dtype), biases.flatten(1).to(dtype)


class FusedHireModule(nn.Module):
    """Adds norm and token mixing of an unshifted map to that map.

    Args:
        height: Height branch.
        width: Width branch.
        channel: Channel branch.
        reweight: Weights of the branches.
        projection: Projection.
    """

    def __init__(
        self,
        height: FusedRegionMixing,
        width: FusedRegionMixing,
        channel: FusedLinear,
        reweight: SplitAttention,
        projection: FusedLinear,
    ) -> None:
        super().__init__()
        self.height = height
        self.width = width
        self.channel = channel
        self.reweight = reweight
        self.projection = projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, and add the input: (N, H, W, C) to (N, H, W, C)."""
        if not runs_as_written(x):
            branches = self.height.mixed(x), self.width.mixed(x), self.channel(x)
            return self._add_weighted(x, branches)
        _, height, width, channels = x.shape
        by_height, by_width = self.height.hidden(x), self.width.hidden(x)
        # Composing the products costs as much as mixing so many tokens.
        if height * width > channels * (self.height.region + 1):
            pooled = self.height.mean(by_height, height, width)
            pooled = pooled + self.width.mean(by_width, height, width)
            pooled = pooled + self.channel(x.mean((1, 2)))
            weights = self.reweight(pooled).to(x.dtype).unbind(2)
            return self._add_composed(x, by_height, by_width, weights)
        branches = (
            self.height.in_order(self.height.expand(by_height), height, width),
            self.width.in_order(self.width.expand(by_width), height, width),
            self.channel(x),
        )
        return self._add_weighted(x, branches)

    def _add_weighted(self, x: torch.Tensor, branches: tuple[torch.Tensor, ...]) -> torch.Tensor:
        height, width, channel = branches
        pooled = height.mean((1, 2)) + width.mean((1, 2)) + channel.mean((1, 2))
        weights = self.reweight(pooled)[:, None, None].to(x.dtype).unbind(4)
        mixed = (channel * weights[2]).addcmul(height, weights[0]).addcmul(width, weights[1])
        added: torch.Tensor = self.projection(mixed, added=x)
        return added

    def _add_composed(
        self,
        x: torch.Tensor,
        by_height: torch.Tensor,
        by_width: torch.Tensor,
        weights: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Expand, weight and project by one product per branch and image, some rows at a time."""
        _, height, width, channels = x.shape
        region = self.height.region
        projection = self.projection.weight.t()
        matrices = (self.channel.weight.t() * weights[2][:, None]) @ projection
        matrices = matrices.to(x.dtype)
        biases = self.projection.bias + (self.channel.bias * weights[2]) @ projection
        of_height = self.height.composed(weights[0], projection)
        of_width = self.width.composed(weights[1], projection)
        rows = max(1, TILE_TOKENS // (width * region)) * region
        mixed = torch.empty_like(x)
        for image in range(len(x)):
            for top in range(0, height, rows):
                end = min(top + rows, height)
                tokens, target = x[image, top:end], mixed[image, top:end]
                torch.add(tokens, biases[image], out=target)
                target.view(-1, channels).addmm_(tokens.view(-1, channels), matrices[image])
                for branch, hidden, (expansion, bias) in (
                    (self.height, by_height[image, top // region : -(-end // region)], of_height),
                    (self.width, by_width[image, top:end], of_width),
                ):
                    expanded = torch.addmm(bias[image], hidden.flatten(0, 1), expansion[image])
                    expanded = expanded.view(1, *hidden.shape[:2], -1)
                    target.add_(branch.in_order(expanded, end - top, width)[0])
        return mixed


class FusedHireBlock(FusedBlock):
    """Hire-MLP block of a map that earlier blocks have shifted.

    Args:
        block: The block, without switches of the ablations.
        earlier_shift: Shift of the map that the block receives, in tokens.
        restores: True to shift the map back at the end.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: HireBlock, earlier_shift: int, restores: bool) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.projection.weight.dtype
        height, width = cast(RegionMixing, mixing.height), cast(RegionMixing, mixing.width)
        shift = height.shift
        self.step = shift - earlier_shift
        self.step_back = -shift if restores else 0
        gain, offset = channel_affine(block.norm1)
        channel, channel_bias = pointwise_weights(cast(nn.Conv2d, mixing.channel))
        self.token_mixing = FusedHireModule(
            FusedRegionMixing(height, 'height', gain, offset),
            FusedRegionMixing(width, 'width', gain, offset),
            FusedLinear(channel * gain, channel_bias + channel @ offset, dtype),
            cast(SplitAttention, mixing.reweight),
            FusedLinear(*pointwise_weights(mixing.projection), dtype),
        )
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        x = self.token_mixing(shifted_circular(x, self.step))
        return shifted_circular(self.channel_mlp(x), self.step_back)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'step={self.step}, step_back={self.step_back}'


def shifted_circular(x: torch.Tensor, step: int) -> torch.Tensor:
    """Shift a map (N, H, W, C) circularly by a step along both H and W."""
    if step == 0:
        return x
    height, width = x.shape[1:3]
    if runs_as_written(x):
        # One pass, where `torch.roll` takes one along each dimension.
        tokens = x.flatten(1, 2).index_select(1, shifted_tokens(height, width, step))
        return tokens.view(x.shape)
    for dim, side in ((1, height), (2, width)):
        x = x.index_select(dim, (torch.arange(side, device=x.device) - step) % side)
    return x
