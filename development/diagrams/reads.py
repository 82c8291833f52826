"""What one value of a layer's output reads: the inputs on which it has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from development.diagrams.drawing import Position


@dataclass(frozen=True)
class Group:
    """Channels that are read at the same positions."""

    channels: tuple[int, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Reads:
    """What one value of an output reads.

    Attributes:
        channels: Number of channels of the input.
        output_channel: Channel of the value; None if the channels of input and output differ.
        groups: Groups of channels, in the order of their first channels; without channels that are
            not read.
    """

    channels: int
    output_channel: int | None
    groups: tuple[Group, ...]

    @property
    def channels_in_words(self) -> str:
        """Which channels are read."""
        read = sorted(channel for group in self.groups for channel in group.channels)
        words = f'{len(read)} of {self.channels} channels'
        if len(read) == self.channels:
            words = 'all channels'
        elif read == [self.output_channel]:
            words = 'its own channel'
        return words if len(self.groups) == 1 else f'{words}, each\nfrom one position'


def measure_reads(
    layer: Callable[[torch.Tensor], torch.Tensor],
    channels: int,
    side: int,
    position: Position,
    output_channel: int,
) -> Reads:
    """Measure what a value of a layer's output reads of a square map.

    Args:
        layer: From (1, channels, side, side) to a map of that size, with positive weights.
        channels: Number of channels of the input.
        side: Height and width of the map.
        position: Row and column of the value.
        output_channel: Channel of the value.
    """
    x = torch.ones(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    output, (row, column) = layer(x), position
    (gradient,) = torch.autograd.grad(output[0, output_channel, row, column], x)
    found: dict[tuple[Position, ...], list[int]] = {}
    for channel, of_channel in enumerate(gradient[0]):
        positions = positions_in(of_channel != 0)
        if positions:
            found.setdefault(positions, []).append(channel)
    groups = tuple(Group(tuple(members), positions) for positions, members in found.items())
    return Reads(channels, output_channel if output.shape == x.shape else None, groups)


def positions_in(mask: torch.Tensor) -> tuple[Position, ...]:
    """Return the positions that are True in a mask (H, W)."""
    return tuple((int(row), int(column)) for row, column in mask.nonzero().tolist())
