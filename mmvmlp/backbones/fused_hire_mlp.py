"""Inference form of Hire-MLP's blocks: the same outputs, with less arithmetic and fewer passes.

- Shifting by s, along H and W alike, commutes with everything else in a block. So the whole feature
  map is shifted once per block, relative to the block before, instead of four times.
- Batch norms fold into the products after (norm1, norm2) and before them (the branches' norms).
- The branch weights depend on means only, and the mean of an expanded branch is a product with the
  mean of its hidden regions. So the weights are known before the branches are expanded, and
  expansion, weighting and projection become one product per branch and image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops import RegionMixing
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import channel_affine, pointwise_weights
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.region import take_circular

if TYPE_CHECKING:
    from mmvmlp.backbones.hire_mlp import HireBlock

TILE_TOKENS = 2048
"""Tokens of which the branches are added at a time, so that they stay in a core's cache."""


class FusedRegionMixing(nn.Module):
    """Region mixing in two steps, hidden regions and their expansion, of unshifted maps.

    Args:
        mixing: Region mixing.
        axis: Its axis.
        gain: Scale of each channel before the mixing.
        offset: Offset of each channel before the mixing.
    """

    def __init__(
        self,
        mixing: RegionMixing,
        axis: Literal['height', 'width'],
        gain: torch.Tensor,
        offset: torch.Tensor,
    ) -> None:
        super().__init__()
        self.region = mixing.region
        self.axis = axis
        self.dim = 1 if axis == 'height' else 2
        dtype = mixing.reduce.weight.dtype
        scale, shift = channel_affine(mixing.norm)
        # (hidden, token, channel), the order in which a region's tokens lie in memory.
        reduce = mixing.reduce.weight.double().flatten(2).transpose(1, 2)
        bias = scale * (reduce * offset).sum((1, 2)) + shift
        self.reduce = FusedLinear((reduce * gain).flatten(1) * scale[:, None], bias, dtype, 'relu')
        expand = mixing.expand.weight.double().flatten(2).permute(2, 1, 0)
        expand_bias = mixing.expand.bias.double().flatten(1).t()
        self.expand = FusedLinear(expand.flatten(0, 1), expand_bias.flatten(), dtype)
        # Sums over the tokens of a region from each token to the last.
        self.weight_sums = _frozen(_sums_to_last(expand).to(dtype))
        self.bias_sums = _frozen(_sums_to_last(expand_bias).to(dtype))

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce regions: (N, H, W, C) to (N, R, W, C/2) along H, (N, H, R, C/2) along W."""
        batch, height, width, channels = x.shape
        side, region = x.shape[self.dim], self.region
        if self.dim == 2 and side % region == 0:
            return self.reduce(x.view(batch, height, -1, region * channels))  # type: ignore[no-any-return]
        number = -(-side // region)
        shape = (number, width) if self.dim == 1 else (height, number)
        regions = x.new_empty(batch, *shape, region, channels)
        for tokens, of_regions in self.parts(x, regions):
            of_regions.copy_(tokens)
        if missing := number * region - side:
            first = torch.arange(missing, device=x.device) % side
            completion = x.index_select(self.dim, first)
            last = regions.select(self.dim, number - 1)
            last[..., region - missing :, :] = (
                completion.transpose(1, 2) if self.dim == 1 else completion
            )
        return self.reduce(regions.flatten(3))  # type: ignore[no-any-return]

    def parts(
        self, x: torch.Tensor, regions: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield views of a map (N, H, W, C) and of its regions that hold the same tokens.

        Args:
            x: Feature map.
            regions: (N, R, W, region, C) along H, (N, H, R, region, C) along W; the last region
                may be incomplete.
        """
        side, region = x.shape[self.dim], self.region
        if self.dim == 2:
            yield x, regions.flatten(2, 3).narrow(2, 0, side)
            return
        complete = side // region
        yield (
            x.narrow(1, 0, complete * region).unflatten(1, (complete, region)),
            regions.narrow(1, 0, complete).transpose(2, 3),
        )
        if rest := side % region:
            tokens = regions.select(1, complete).narrow(2, 0, rest)
            yield x.narrow(1, side - rest, rest), tokens.transpose(1, 2)

    def mixed(self, x: torch.Tensor) -> torch.Tensor:
        """Mix regions by whole-map operators: (N, H, W, C) to (N, H, W, C)."""
        x = x.permute(0, 3, 1, 2)
        dim = self.dim + 1
        side, region, channels = x.shape[dim], self.region, x.shape[1]
        kernel = (region, 1) if self.dim == 1 else (1, region)
        completed = take_circular(x, dim, 0, side + region - 1, period=side)
        reduce = self.reduce.weight.unflatten(1, kernel + (channels,)).permute(0, 3, 1, 2)
        hidden = functional.conv2d(completed, reduce, self.reduce.bias, stride=kernel).relu()
        expand = self.expand.weight.unflatten(0, kernel + (channels,)).permute(3, 2, 0, 1)
        tokens = functional.conv_transpose2d(hidden, expand, stride=kernel)
        token = torch.arange(side, device=x.device)
        bias = self.expand.bias.unflatten(0, (region, channels)).index_select(0, token % region)
        tokens = tokens.permute(0, 2, 3, 1).index_select(self.dim, token)
        return tokens + (bias[:, None] if self.dim == 1 else bias)

    def mean(self, hidden: torch.Tensor, side: int) -> torch.Tensor:
        """Return the mean (N, C) of the expanded tokens.

        Args:
            hidden: Hidden regions.
            side: Tokens along the axis.
        """
        number, across = hidden.shape[self.dim], hidden.shape[3 - self.dim]
        weights, biases = self.weight_sums, self.bias_sums
        total = hidden.sum((1, 2)) @ weights[0].t() + number * across * biases[0]
        if rest := side % self.region:
            # Tokens after the end of the map do not count.
            last = hidden.select(self.dim, number - 1).sum(1)
            total = total - last @ weights[rest].t() - across * biases[rest]
        return total / (side * across)


def _sums_to_last(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.flip(0).cumsum(0).flip(0)


def _frozen(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.contiguous(), requires_grad=False)


class FusedHireModule(nn.Module):
    """Adds norm and token mixing of an unshifted map to that map.

    Args:
        height: Height branch.
        width: Width branch.
        channel: Channel branch.
        reweight: MLP of the branch weights.
        projection: Projection; its bias includes what else is added to all positions.
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
        if not runs_as_written(x):
            return self._add_as_graph(x)
        _, height, width, channels = x.shape
        regions = self.height.hidden(x), self.width.hidden(x)
        pooled = (
            self.height.mean(regions[0], height)
            + self.width.mean(regions[1], width)
            + self.channel(x.mean((1, 2)))
        )
        weights = self.reweight(pooled).unflatten(1, (-1, 3)).softmax(2).unbind(2)
        # A product per branch is C / 2 or C long; composing it costs as much as so many tokens.
        if height * width > channels * (self.height.region + 1):
            return self._add_composed(x, regions, weights)
        mixed = self.channel(x).mul_(weights[2][:, None, None])
        for branch, hidden, weight in zip(
            (self.height, self.width), regions, weights[:2], strict=True
        ):
            expanded = branch.expand(hidden).unflatten(3, (branch.region, channels))
            for tokens, of_regions in branch.parts(mixed, expanded):
                broadcast = weight.reshape(len(weight), *(1,) * (tokens.ndim - 2), channels)
                tokens.addcmul_(of_regions, broadcast)
        return self.projection(mixed, added=x)  # type: ignore[no-any-return]

    def _add_as_graph(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens by operators that hold for every size in one graph."""
        branches = self.height.mixed(x), self.width.mixed(x), self.channel(x)
        pooled = sum(branch.mean((1, 2)) for branch in branches)
        scores = self.reweight(pooled).unflatten(1, (-1, 3))
        weights = scores.softmax(2)[:, None, None].unbind(4)
        mixed = sum(branch * weight for branch, weight in zip(branches, weights, strict=True))
        return self.projection(mixed, added=x)  # type: ignore[no-any-return]

    def _add_composed(
        self,
        x: torch.Tensor,
        regions: tuple[torch.Tensor, torch.Tensor],
        weights: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Expand, weight and project each branch by one product per image."""
        _, height, width, channels = x.shape
        projection = self.projection.weight.t()
        rows = max(1, TILE_TOKENS // (width * self.height.region)) * self.height.region
        mixed = torch.empty_like(x)
        for image, (tokens, target) in enumerate(zip(x, mixed, strict=True)):
            by_height, by_width, by_channel = (weight[image] for weight in weights)
            product = (self.channel.weight.t() * by_channel) @ projection
            bias = self.projection.bias + (self.channel.bias * by_channel) @ projection
            branches = [
                _composed(branch.expand, weight, projection)
                for branch, weight in ((self.height, by_height), (self.width, by_width))
            ]
            for top in range(0, height, rows):
                tile = slice(top, min(top + rows, height))
                in_regions = slice(top // self.height.region, -(-tile.stop // self.height.region))
                hidden = regions[0][image, in_regions], regions[1][image, tile]
                torch.add(tokens[tile], bias, out=target[tile])
                target[tile].view(-1, channels).addmm_(tokens[tile].view(-1, channels), product)
                for branch, of_branch, (expansion, constant) in zip(
                    (self.height, self.width), hidden, branches, strict=True
                ):
                    expanded = torch.addmm(
                        constant, of_branch.reshape(-1, channels // 2), expansion
                    )
                    expanded = expanded.view(1, *of_branch.shape[:2], branch.region, channels)
                    for into, added in branch.parts(target[None, tile], expanded):
                        into.add_(added)
        return mixed


def _composed(
    expand: FusedLinear, weight: torch.Tensor, projection: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return matrix (C/2, region * C) and bias of expansion, weighting and projection."""
    tokens = expand.weight.unflatten(0, (-1, len(weight)))
    matrix = (tokens.transpose(1, 2) * weight) @ projection
    bias = (expand.bias.unflatten(0, (-1, len(weight))) * weight) @ projection
    return matrix.transpose(0, 1).flatten(1), bias.flatten()


class FusedHireBlock(nn.Module):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = shifted_circular(x.permute(0, 2, 3, 1), self.step)
        x = self.channel_mlp(self.token_mixing(x))
        return shifted_circular(x, self.step_back).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'step={self.step}, step_back={self.step_back}'


def shifted_circular(x: torch.Tensor, step: int) -> torch.Tensor:
    """Shift a map (N, H, W, C) circularly by a step along both H and W."""
    if step == 0:
        return x
    if not runs_as_written(x):
        for dim in (1, 2):
            side = x.shape[dim]
            x = x.index_select(dim, (torch.arange(side, device=x.device) - step) % side)
        return x
    # One pass, where `torch.roll` takes one along each dimension.
    moved = torch.empty_like(x)
    down, right = step % x.shape[1], step % x.shape[2]
    for rows in ((0, x.shape[1] - down, down), (x.shape[1] - down, down, 0)):
        for columns in ((0, x.shape[2] - right, right), (x.shape[2] - right, right, 0)):
            source = x.narrow(1, *rows[:2]).narrow(2, *columns[:2])
            moved.narrow(1, rows[2], rows[1]).narrow(2, columns[2], columns[1]).copy_(source)
    return moved
