"""Diagrams of token mixing: what one output position reads, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from development.diagrams.drawing import BLOCK, CELL, EMPTY, GROUPS, Drawing, Spot
from development.diagrams.reads import (
    Position,
    Reads,
    measure_reads,
    positions_in,
    with_positive_weights,
)
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.backbones.s2_mlp_v2 import shifted_branches
from mmvmlp.backbones.wave_mlp import mixed_waves
from mmvmlp.inspection.reach import stated_reach
from mmvmlp.ops import axial_shift, cycle_shift, spatial_shift

SIDE = 9
MIDDLE: Position = (SIDE // 2, SIDE // 2)
OUTPUT_CHANNEL = 1

SPACE = 26.0
TITLE = 18.0
STRIP = 22.0
CAPTION = 46.0
MARGIN = 4.0


@dataclass(frozen=True)
class Layer:
    """A layer that mixes tokens, or one of its branches.

    Attributes:
        title: What the diagram calls it.
        function: From a map (1, channels, SIDE, SIDE) to one of that size.
        channels: Channels of its input.
    """

    title: str
    function: Callable[[torch.Tensor], torch.Tensor]
    channels: int


@dataclass(frozen=True)
class Block:
    """Layers of a block.

    Attributes:
        title: What the diagram calls the block.
        layers: The layers.
        signs: Between two layers: ``'+'`` if they stand side by side, ``'→'`` in series, and
            nothing if they belong to different blocks.
        module: The block; None to leave out what all layers read together.
    """

    title: str
    layers: tuple[Layer, ...]
    signs: tuple[str, ...]
    module: nn.Module | None


def blocks_of(family: type[VisionMLP]) -> list[Block]:
    """Return the blocks of a family that its diagram shows."""
    return BLOCKS[family.name_prefix](family)


def _block(family: type[VisionMLP], stage: int, number: int = 0, **changes: Any) -> Any:
    backbone = with_positive_weights(family({**family.small_arch, **changes}))
    return backbone.stages[stage].blocks[number]  # type: ignore[union-attr,index]


def _as_mlp(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 0, channels=10)
    mixing = block.token_mixing
    size = mixing.shift_size
    layers = (
        Layer('along the width', lambda x: mixing.width(axial_shift(x, 'width', size)), 10),
        Layer('along the height', lambda x: mixing.height(axial_shift(x, 'height', size)), 10),
    )
    return [Block('one block', layers, ('+',), block)]


def _conv_mlp(family: type[VisionMLP]) -> list[Block]:
    first, later = _block(family, 0), _block(family, 1)
    layers = (
        Layer('stage 1', first.local.conv, first.local.conv.in_channels),
        Layer('stages 2 to 4', later.local, later.local.in_channels),
    )
    return [Block('one block', layers, ('',), None)]


def _three_branches(
    block: Any, width: Callable[..., torch.Tensor], height: Callable[..., torch.Tensor]
) -> Block:
    mixing = block.token_mixing
    channels = mixing.channel.in_channels
    layers = (
        Layer('along the width', width, channels),
        Layer('along the height', height, channels),
        Layer('in place', mixing.channel, channels),
    )
    return Block('one block', layers, ('+', '+'), block)


def _cycle_mlp(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 1)
    mixing = block.token_mixing
    return [
        _three_branches(
            block,
            lambda x: mixing.width(cycle_shift(x, 'width')),
            lambda x: mixing.height(cycle_shift(x, 'height')),
        )
    ]


def _hire_mlp(family: type[VisionMLP]) -> list[Block]:
    blocks = []
    for number in range(2):
        block = _block(family, 0, number)
        mixing = block.token_mixing
        of_branches = _three_branches(block, mixing.width, mixing.height)
        title = 'one block' if number == 0 else 'the next block'
        blocks.append(Block(title, of_branches.layers, of_branches.signs, block))
    return blocks


def _dense(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 0, patch_size=16, image_size=16 * SIDE)
    return [Block('one block', (Layer('all patches', block.token_mixing, 8),), (), block)]


def _raft_mlp(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 3, channels=(8, 8, 8, 8), image_size=32 * SIDE)
    mixing = block.token_mixing
    layers = (
        Layer('along the height', mixing.height, 8),
        Layer('along the width', mixing.width, 8),
    )
    return [Block('one block', layers, ('→',), block)]


def _s2_mlp(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 0)
    layer = Layer('four shifts', lambda x: block.fc2(spatial_shift(x, block.moves)), 8)
    return [Block('one block', (layer,), (), block)]


def _s2_mlp_v2(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 0)
    mixing = block.token_mixing
    layer = Layer(
        'four shifts, twice, and none', lambda x: mixing.projection(sum(shifted_branches(x))), 24
    )
    return [Block('one block', (layer,), (), block)]


def _smlpnet(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 3, channels=1, image_size=32 * SIDE)
    sparse = block.sparse
    layers = (
        Layer('3×3', block.local, 8),
        Layer('along the width', sparse.width, 8),
        Layer('along the height', sparse.height, 8),
        Layer('in place', lambda x: x, 8),
    )
    return [Block('one block', layers, ('→', '+', '+'), block)]


def _vip(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 2, image_size=8 * SIDE)
    return [_three_branches(block, block.token_mixing.width, block.token_mixing.height)]


def _wave_mlp(family: type[VisionMLP]) -> list[Block]:
    block = _block(family, 0)
    mixing = block.token_mixing

    def waves_along(axis: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: mixed_waves(x, torch.ones_like(x), axis.window)

    return [_three_branches(block, waves_along(mixing.width), waves_along(mixing.height))]


BLOCKS: Mapping[str, Callable[[type[VisionMLP]], list[Block]]] = {
    'as_mlp': _as_mlp,
    'conv_mlp': _conv_mlp,
    'cycle_mlp': _cycle_mlp,
    'hire_mlp': _hire_mlp,
    'mlp_mixer': _dense,
    'raft_mlp': _raft_mlp,
    'resmlp': _dense,
    's2_mlp': _s2_mlp,
    's2_mlp_v2': _s2_mlp_v2,
    'smlpnet': _smlpnet,
    'vip': _vip,
    'wave_mlp': _wave_mlp,
}


def block_positions(module: nn.Module) -> tuple[Position, ...]:
    """Return the positions that the middle of a block's output reads."""
    wanted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wanted[MIDDLE] = True
    return positions_in(stated_reach(module, SIDE, SIDE).sources(wanted))


def diagram(family: type[VisionMLP]) -> bytes:
    """Return the diagram of a family, as SVG."""
    blocks = blocks_of(family)
    panels = max(len(block.layers) + (block.module is not None) for block in blocks)
    map_side = SIDE * CELL
    width = panels * map_side + (panels - 1) * SPACE + 2 * MARGIN
    row = TITLE + map_side + STRIP + CAPTION
    drawing = Drawing(width, row * len(blocks) + 2)
    drawn = []
    for number, block in enumerate(blocks):
        spot = Spot(MARGIN, number * row)
        reads = [
            measure_reads(layer.function, layer.channels, SIDE, MIDDLE, OUTPUT_CHANNEL)
            for layer in block.layers
        ]
        for layer, of_layer, sign in zip(
            block.layers, reads, (*block.signs, ''), strict=True
        ):
            _draw_reads(drawing, spot, layer.title, of_layer)
            spot = _after_sign(drawing, spot, sign)
        record: dict[str, Any] = {'reads': [asdict(each) for each in reads]}
        if block.module is not None:
            positions = block_positions(block.module)
            if len(block.layers) > 0:
                _after_sign(drawing, Spot(spot.x - map_side - SPACE, spot.y), '=')
            _draw_block(drawing, spot, block.title, positions)
            record['block'] = positions
        drawn.append(record)
    return drawing.svg(drawn)


def _after_sign(drawing: Drawing, spot: Spot, sign: str) -> Spot:
    map_side = SIDE * CELL
    middle = Spot(spot.x + map_side + SPACE / 2, spot.y + TITLE + map_side / 2)
    if sign == '→':
        drawing.arrow(Spot(middle.x - 8, middle.y), Spot(middle.x + 8, middle.y))
    elif sign:
        drawing.text(middle, sign, size=18, faint=True)
    return Spot(spot.x + map_side + SPACE, spot.y)


def _draw_map(drawing: Drawing, spot: Spot, title: str) -> Spot:
    """Draw an empty map below a title, and return its corner."""
    corner = Spot(spot.x, spot.y + TITLE)
    drawing.text(Spot(spot.x + SIDE * CELL / 2, spot.y + TITLE / 2 - 1), title, bold=True)
    everywhere = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    drawing.cells(corner, everywhere, EMPTY)
    return corner


def _draw_reads(drawing: Drawing, spot: Spot, title: str, reads: Reads) -> None:
    corner = _draw_map(drawing, spot, title)
    side = SIDE * CELL
    strip = Spot(corner.x, corner.y + side + 8)
    width, height = side / reads.channels, CELL
    drawing.cells(
        strip, [(0, channel) for channel in range(reads.channels)], EMPTY, width=width
    )
    for group, colour in zip(reads.groups, GROUPS, strict=False):
        drawing.cells(corner, group.positions, colour)
        drawing.cells(strip, [(0, channel) for channel in group.channels], colour, width=width)
    drawing.ring(corner, MIDDLE)
    if reads.output_channel is not None:
        drawing.ring(strip, (0, reads.output_channel), width=width, height=height)
    caption = Spot(corner.x + side / 2, strip.y + height + 10)
    drawing.text(caption, reads.channels_in_words, size=10, faint=True)


def _draw_block(
    drawing: Drawing, spot: Spot, title: str, positions: tuple[Position, ...]
) -> None:
    corner = _draw_map(drawing, spot, title)
    drawing.cells(corner, positions, BLOCK)
    drawing.ring(corner, MIDDLE)
    side = SIDE * CELL
    drawing.text(
        Spot(corner.x + side / 2, corner.y + side + 14),
        f'{len(positions)} positions',
        size=10,
        faint=True,
    )


def diagrams() -> dict[str, bytes]:
    """Return the diagrams of all families, by the name of their file."""
    return {
        f'mixing_{family.name_prefix}.svg': diagram(family) for family in registered_families()
    }
