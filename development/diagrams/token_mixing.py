"""Diagrams of token mixing: what one output reads, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from development.diagrams.drawing import (
    BLOCK,
    CELL,
    EMPTY,
    GROUPS,
    Drawing,
    Position,
    Spot,
    all_positions,
)
from development.diagrams.reads import Reads, measure_reads, positions_in
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.backbones.s2_mlp_v2 import shifted_branches
from mmvmlp.backbones.wave_mlp import mixed_waves
from mmvmlp.inspection.reach import stated_reach
from mmvmlp.inspection.receptive_field import with_positive_weights
from mmvmlp.ops import axial_shift, cycle_shift, spatial_shift

SIDE = 9
MIDDLE: Position = (SIDE // 2, SIDE // 2)
LAST: Position = (SIDE - 1, SIDE - 1)
OUTPUT_CHANNEL = 1

MAP = SIDE * CELL
BETWEEN, MARGIN = 26.0, 4.0
TITLE, CAPTION, LEGEND = 18.0, 58.0, 16.0
NARROWEST = 362.0
"""Width that a legend with groups needs."""

Sign = Literal['', '+', '→', '=']
Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class LayerPanel:
    """A layer that mixes tokens, or one of its branches.

    Attributes:
        title: What the diagram calls it.
        function: From a map (1, channels, SIDE, SIDE) to one of that size.
        channels: Channels of its input.
        sign: What stands between it and the next panel: ``'+'`` if the two are added, ``'→'`` if
            the next one takes its output, ``'='`` before a whole block.
    """

    title: str
    function: Function
    channels: int
    sign: Sign = ''


@dataclass(frozen=True)
class BlockPanel:
    """A block, with all its layers and residuals.

    Attributes:
        title: What the diagram calls it.
        module: The block.
        position: The position of the output that is looked at.
    """

    title: str
    module: nn.Module
    position: Position = MIDDLE


Row = list[LayerPanel | BlockPanel]


def rows_of(family: type[VisionMLP], side: int = SIDE) -> list[Row]:
    """Return what the diagram of a family shows, row by row.

    Args:
        family: The family.
        side: Height and width of the maps, for networks of a native size.
    """
    return ROWS[family.name_prefix](family, side)


def _block(family: type[VisionMLP], stage: int, number: int = 0, **changes: Any) -> Any:
    stages: Any = with_positive_weights(family({**family.small_arch, **changes})).stages
    return stages[stage].blocks[number]


def _as_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 0, channels=10)
    mixing, size = block.token_mixing, block.token_mixing.shift_size
    return [
        [
            LayerPanel(
                'along the width', lambda x: mixing.width(axial_shift(x, 'width', size)), 10, '+'
            ),
            LayerPanel(
                'along the height', lambda x: mixing.height(axial_shift(x, 'height', size)), 10, '='
            ),
            BlockPanel('one block', block),
        ]
    ]


def _conv_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    first, later = _block(family, 0), _block(family, 1)
    return [
        [
            LayerPanel('stage 1', first.local.conv, first.local.conv.in_channels),
            LayerPanel('stages 2 to 4', later.local, later.local.in_channels),
        ]
    ]


def _three_branches(block: Any, width: Function, height: Function) -> Row:
    in_place = block.token_mixing.channel
    channels = in_place.in_channels
    return [
        LayerPanel('along the width', width, channels, '+'),
        LayerPanel('along the height', height, channels, '+'),
        LayerPanel('in place', in_place, channels, '='),
        BlockPanel('one block', block),
    ]


def _cycle_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 1)
    mixing = block.token_mixing
    return [
        _three_branches(
            block,
            lambda x: mixing.width(cycle_shift(x, 'width')),
            lambda x: mixing.height(cycle_shift(x, 'height')),
        )
    ]


def _hire_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block, after = _block(family, 0, 0), _block(family, 0, 1)
    return [
        _three_branches(block, block.token_mixing.width, block.token_mixing.height),
        [
            BlockPanel('the next block', after),
            BlockPanel('one block, corner', block, LAST),
            BlockPanel('the next, corner', after, LAST),
        ],
    ]


def _dense(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 0, patch_size=16, image_size=16 * side)
    return [
        [
            LayerPanel('all patches', block.token_mixing, family.small_arch['channels'], '='),
            BlockPanel('one block', block),
        ]
    ]


def _raft_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 3, channels=(8, 8, 8, 8), image_size=32 * side)
    return [
        [
            LayerPanel('along the height', block.token_mixing.height, 8, '→'),
            LayerPanel('along the width', block.token_mixing.width, 8, '='),
            BlockPanel('one block', block),
        ]
    ]


def _s2_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 0)
    channels = block.fc2.in_channels
    return [
        [
            LayerPanel(
                'four shifts', lambda x: block.fc2(spatial_shift(x, block.moves)), channels, '='
            ),
            BlockPanel('one block', block),
        ]
    ]


def _s2_mlp_v2(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 0)
    mixing = block.token_mixing

    def part(number: int) -> Function:
        return lambda x: mixing.projection(shifted_branches(x)[number])

    channels = mixing.expansion.out_channels
    return [
        [
            LayerPanel('four shifts', part(0), channels, '+'),
            LayerPanel('four others', part(1), channels, '+'),
            LayerPanel('in place', part(2), channels, '='),
            BlockPanel('one block', block),
        ]
    ]


def _smlpnet(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 3, channels=1, image_size=32 * side)
    channels = block.local.in_channels
    return [
        [
            LayerPanel('3×3', block.local, channels, '→'),
            LayerPanel('along the width', block.sparse.width, channels, '+'),
            LayerPanel('along the height', block.sparse.height, channels, '+'),
            LayerPanel('in place', lambda x: x, channels, '='),
            BlockPanel('one block', block),
        ]
    ]


def _vip(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 2, image_size=8 * side)
    return [_three_branches(block, block.token_mixing.width, block.token_mixing.height)]


def _wave_mlp(family: type[VisionMLP], side: int) -> list[Row]:
    block = _block(family, 0)

    def waves_along(axis: Any) -> Function:
        return lambda x: mixed_waves(x, torch.ones_like(x), axis.window)

    width, height = waves_along(block.token_mixing.width), waves_along(block.token_mixing.height)
    return [_three_branches(block, width, height)]


ROWS: Mapping[str, Callable[[type[VisionMLP], int], list[Row]]] = {
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


def measured(panel: LayerPanel) -> Reads:
    """Measure what the output in the middle of a layer reads."""
    return measure_reads(panel.function, panel.channels, SIDE, MIDDLE, OUTPUT_CHANNEL)


def in_reach(panel: BlockPanel) -> tuple[Position, ...]:
    """Return the positions that an output of a block reads."""
    wanted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wanted[panel.position] = True
    return positions_in(stated_reach(panel.module, SIDE, SIDE).sources(wanted))


def diagram(family: type[VisionMLP]) -> bytes:
    """Return the diagram of a family, as SVG."""
    rows = rows_of(family)
    panels, height = max(map(len, rows)), TITLE + MAP + CAPTION
    width = max(NARROWEST, panels * MAP + (panels - 1) * BETWEEN + 2 * MARGIN)
    drawing = Drawing(width, height * len(rows) + LEGEND)
    drawn: list[Any] = []
    for number, row in enumerate(rows):
        for place, panel in enumerate(row):
            spot = Spot(MARGIN + place * (MAP + BETWEEN), number * height)
            if isinstance(panel, LayerPanel):
                reads = measured(panel)
                drawn.append(asdict(reads))
                _draw_layer(drawing, spot, panel, reads)
            else:
                positions = in_reach(panel)
                drawn.append({'position': panel.position, 'positions': positions})
                _draw_block(drawing, spot, panel, positions)
    _draw_legend(drawing, Spot(MARGIN, height * len(rows)), drawn)
    return drawing.svg(drawn)


def _draw_map(drawing: Drawing, spot: Spot, title: str) -> Spot:
    """Draw an empty map below a title, and return its corner."""
    corner = Spot(spot.x, spot.y + TITLE)
    drawing.text(Spot(spot.x + MAP / 2, spot.y + TITLE / 2 - 1), title, bold=True)
    drawing.cells(corner, all_positions(SIDE, SIDE), EMPTY)
    return corner


def _draw_layer(drawing: Drawing, spot: Spot, panel: LayerPanel, reads: Reads) -> None:
    corner = _draw_map(drawing, spot, panel.title)
    strip, width = Spot(corner.x, corner.y + MAP + 8), MAP / reads.channels
    drawing.cells(strip, all_positions(1, reads.channels), EMPTY, width=width)
    for group, colour in zip(reads.groups, GROUPS, strict=False):
        drawing.cells(corner, group.positions, colour)
        drawing.cells(strip, [(0, channel) for channel in group.channels], colour, width=width)
    drawing.ring(corner, MIDDLE)
    if reads.output_channel is not None:
        drawing.ring(strip, (0, reads.output_channel), width=width)
    caption = Spot(corner.x + MAP / 2, strip.y + CELL + 10)
    drawing.text(caption, reads.channels_in_words, size=10, faint=True)
    if panel.sign:
        _draw_sign(drawing, Spot(corner.x + MAP + BETWEEN / 2, corner.y + MAP / 2), panel.sign)


def _draw_sign(drawing: Drawing, spot: Spot, sign: Sign) -> None:
    if sign == '→':
        drawing.arrow(Spot(spot.x - 8, spot.y), Spot(spot.x + 8, spot.y))
    else:
        drawing.text(spot, sign, size=18, faint=True)


def _draw_block(
    drawing: Drawing, spot: Spot, panel: BlockPanel, positions: tuple[Position, ...]
) -> None:
    corner = _draw_map(drawing, spot, panel.title)
    drawing.cells(corner, positions, BLOCK)
    drawing.ring(corner, panel.position)
    caption = f'{len(positions)} positions,\nwith the residual'
    drawing.text(Spot(corner.x + MAP / 2, corner.y + MAP + 14), caption, size=10, faint=True)


def _draw_legend(drawing: Drawing, spot: Spot, drawn: list[Any]) -> None:
    has_groups = any(len(each.get('groups', ())) > 1 for each in drawn)
    has_blocks = any('positions' in each for each in drawn)
    middle = spot.y + CELL / 2
    drawing.ring(Spot(spot.x + 1, spot.y), (0, 0))
    drawing.text(Spot(spot.x + 19, middle), 'output', size=10, faint=True, align='left')
    swatches = Spot(spot.x + 66, spot.y)
    colours = GROUPS[: 3 if has_groups else 1] + (BLOCK,) * has_blocks
    for number, colour in enumerate(colours):
        drawing.cells(swatches, [(0, number)], colour)
    words = 'what it reads' + (': in one colour, the same channels' if has_groups else '')
    after = Spot(swatches.x + len(colours) * CELL + 5, middle)
    drawing.text(after, words, size=10, faint=True, align='left')


def diagrams() -> dict[str, bytes]:
    """Return the diagrams of all families, by the name of their file."""
    return {f'mixing_{family.name_prefix}.svg': diagram(family) for family in registered_families()}
