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
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from mmvmlp.ops import RegionMixing
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import channel_affine, pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear

if TYPE_CHECKING:
    from mmvmlp.backbones.hire_mlp import HireBlock

Axis = Literal['height', 'width']

TILE_TOKENS = 2048
"""Tokens of which the branches are added at a time, so that they stay in a core's cache."""

WIDEST_COMPOSED = 1024
"""Largest C * region of which graphs, which hold for all sizes, compose the products."""


def tokens_of_regions(
    height: int, width: int, region: int, axis: Axis, device: torch.device
) -> torch.Tensor:
    """Return the token, counted row by row, at each position of all regions.

    The last region of a column or row is completed from its start. Regions are counted row by row.
    """
    token = torch.arange(region, device=device)
    if axis == 'height':
        regions = torch.arange((height + region - 1) // region, device=device)
        rows = (regions[:, None, None] * region + token) % height
        return (rows * width + torch.arange(width, device=device)[:, None]).flatten()
    regions = torch.arange((width + region - 1) // region, device=device)
    columns = (regions[:, None] * region + token) % width
    return (torch.arange(height, device=device)[:, None, None] * width + columns).flatten()


def positions_in_regions(
    height: int, width: int, region: int, axis: Axis, device: torch.device
) -> torch.Tensor:
    """Return the position of each token in :func:`tokens_of_regions`."""
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)
    if axis == 'height':
        return ((rows // region * width + columns) * region + rows % region).flatten()
    return (rows * ((width + region - 1) // region * region) + columns).flatten()


_cached_tokens = lru_cache(maxsize=128)(tokens_of_regions)
_cached_positions = lru_cache(maxsize=128)(positions_in_regions)


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
        if not (self.axis == 'width' and runs_as_written(x) and width % self.region == 0):
            find = _cached_tokens if runs_as_written(x) else tokens_of_regions
            tokens = find(height, width, self.region, self.axis, x.device)
            x = x.flatten(1, 2).index_select(1, tokens)
        hidden: torch.Tensor = self.reduce(x.reshape(batch, *shape, self.region * channels))
        return hidden

    def in_order(self, expanded: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Bring expanded regions (N, rows, columns, region * C) into the map (N, H, W, C)."""
        channels = expanded.shape[3] // self.region
        find = _cached_positions if runs_as_written(expanded) else positions_in_regions
        positions = find(height, width, self.region, self.axis, expanded.device)
        tokens = expanded.reshape(expanded.shape[0], -1, channels).index_select(1, positions)
        return tokens.view(tokens.shape[0], height, width, channels)

    def mean(self, hidden: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return the mean (N, C) of the expanded tokens of a map."""
        dim, side = (1, height) if self.axis == 'height' else (2, width)
        number, across = hidden.shape[dim], hidden.shape[3 - dim]
        total = hidden.sum((1, 2)) @ self.weight_sums[0].t() + number * across * self.bias_sums[0]
        # The last region ends with tokens that the map does not have: all of them without a rest.
        rest = side - (number - 1) * self.region
        if runs_as_written(hidden):
            if rest == self.region:
                return total / (side * across)
            excess, excess_bias = self.weight_sums[rest], self.bias_sums[rest]
        else:
            # As a sum over the tokens, since a graph holds for every rest.
            token = torch.arange(self.region, device=hidden.device)
            beyond = (token >= rest).to(hidden.dtype)
            each = self.expand.weight.unflatten(0, (self.region, -1))
            excess = torch.tensordot(beyond, each, 1)
            excess_bias = beyond @ self.expand.bias.unflatten(0, (self.region, -1))
        last = hidden.select(dim, number - 1).sum(1)
        total = total - last @ excess.t() - across * excess_bias
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
        each = self.expand.weight.unflatten(0, (self.region, -1)).transpose(1, 2)
        matrices = (each * weight) @ projection
        biases = (self.expand.bias.unflatten(0, (self.region, -1)) * weight[:, 0]) @ projection
        return matrices.transpose(1, 2).flatten(2).to(dtype), biases.flatten(1).to(dtype)


class FusedHireModule(nn.Module):
    """Adds norm and token mixing of an unshifted map to that map.

    Args:
        height: Height branch.
        width: Width branch.
        channel: Channel branch.
        reweight: MLP of the branch weights.
        projection: Projection.
    """

    def __init__(
        self,
        height: FusedRegionMixing,
        width: FusedRegionMixing,
        channel: FusedLinear,
        reweight: nn.Sequential,
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
        _, height, width, channels = x.shape
        by_height, by_width = self.height.hidden(x), self.width.hidden(x)
        pooled = (
            self.height.mean(by_height, height, width)
            + self.width.mean(by_width, height, width)
            + self.channel(x.mean((1, 2)))
        )
        scores = self.reweight(pooled).unflatten(1, (-1, 3))
        weights = scores.softmax(2).to(x.dtype).unbind(2)
        # Composing the products costs as much as mixing so many tokens.
        cost = channels * (self.height.region + 1)
        if runs_as_written(x):
            if height * width > cost:
                return self._add_in_tiles(x, by_height, by_width, weights)
        elif cost <= WIDEST_COMPOSED:
            return self._add_composed(x, by_height, by_width, weights)
        mixed = self.channel(x) * weights[2][:, None, None]
        for branch, hidden, weight in (
            (self.height, by_height, weights[0]),
            (self.width, by_width, weights[1]),
        ):
            expanded = branch.in_order(branch.expand(hidden), height, width)
            mixed = mixed.addcmul(expanded, weight[:, None, None])
        added: torch.Tensor = self.projection(mixed, added=x)
        return added

    def _composed_channel(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        projection = self.projection.weight.t()
        matrices = (self.channel.weight.t() * weight[:, None]) @ projection
        biases = self.projection.bias + (self.channel.bias * weight) @ projection
        return matrices.to(weight.dtype), biases.to(weight.dtype)

    def _add_composed(
        self,
        x: torch.Tensor,
        by_height: torch.Tensor,
        by_width: torch.Tensor,
        weights: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Expand, weight and project each branch by one product per image."""
        _, height, width, _ = x.shape
        projection = self.projection.weight.t()
        matrices, biases = self._composed_channel(weights[2])
        mixed = torch.matmul(x.flatten(1, 2), matrices) + biases[:, None]
        mixed = x + mixed.view(x.shape)
        for branch, hidden, weight in (
            (self.height, by_height, weights[0]),
            (self.width, by_width, weights[1]),
        ):
            matrices, biases = branch.composed(weight, projection)
            expanded = torch.matmul(hidden.flatten(1, 2), matrices) + biases[:, None]
            mixed = mixed + branch.in_order(expanded.view(*hidden.shape[:3], -1), height, width)
        return mixed

    def _add_in_tiles(
        self,
        x: torch.Tensor,
        by_height: torch.Tensor,
        by_width: torch.Tensor,
        weights: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Do as :meth:`_add_composed`, some rows at a time."""
        _, height, width, channels = x.shape
        region = self.height.region
        projection = self.projection.weight.t()
        matrices, biases = self._composed_channel(weights[2])
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
        block: The block.
        earlier_shift: Shift of the map that the block receives, in tokens.
        restores: True to shift the map back at the end.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: HireBlock, earlier_shift: int, restores: bool) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.projection.weight.dtype
        shift = mixing.height.shift
        self.step = shift - earlier_shift
        self.step_back = -shift if restores else 0
        gain, offset = channel_affine(block.norm1)
        channel, channel_bias = pointwise_weights(mixing.channel)
        self.token_mixing = FusedHireModule(
            FusedRegionMixing(mixing.height, 'height', gain, offset),
            FusedRegionMixing(mixing.width, 'width', gain, offset),
            FusedLinear(channel * gain, channel_bias + channel @ offset, dtype),
            mixing.reweight,
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
    if not runs_as_written(x):
        for dim, side in ((1, height), (2, width)):
            x = x.index_select(dim, (torch.arange(side, device=x.device) - step) % side)
        return x
    # One pass, where `torch.roll` takes one along each dimension.
    moved = torch.empty_like(x)
    down, right = step % height, step % width
    for target_row, row, rows in ((down, 0, height - down), (0, height - down, down)):
        for target_column, column, columns in (
            (right, 0, width - right),
            (0, width - right, right),
        ):
            target = moved.narrow(1, target_row, rows).narrow(2, target_column, columns)
            target.copy_(x.narrow(1, row, rows).narrow(2, column, columns))
    return moved
