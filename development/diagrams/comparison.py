"""The table of all families: how far they read, what that costs, and at which image sizes."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from development.diagrams.drawing import Position
from development.diagrams.token_mixing import (
    MIDDLE,
    SIDE,
    BlockPanel,
    LayerPanel,
    in_reach,
    measured,
    rows_of,
)
from development.generated_document import markdown_table
from development.network_table import strides_in_words
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.inspection.layers import layers_of
from mmvmlp.inspection.reach import layer_reaches, pixels_in_reach, whole_map_statistics

IMAGE_SIDE = 1024
SIDES = (8, 16)
GROWTH = {1: 'n', 2: 'n√n', 4: 'n²'}
"""Cost of n positions, by the growth of the cost of one with a side of twice the length."""


def comparison() -> str:
    """Return a Markdown table of the registered families."""
    headings = [
        'family',
        'a block reads',
        'the last map sees',
        'cost of n positions',
        'statistics of the whole map',
        'other image sizes',
        'strides',
    ]
    return markdown_table(headings, [_row(family) for family in registered_families()])


def _row(family: type[VisionMLP]) -> list[str]:
    return [
        family.title,
        in_words(positions_of_a_block(family)),
        pixels_in_words(family),
        GROWTH[growth_of_cost(family)],
        statistics_in_words(family),
        'by design' if family.size_free else '`resolution`',
        strides_in_words(family),
    ]


def positions_of_a_block(family: type[VisionMLP]) -> set[Position]:
    """Return the positions that an output of a block reads."""
    panels = rows_of(family)[0]
    last = panels[-1]
    if isinstance(last, BlockPanel):
        return set(in_reach(last))
    return {position for group in measured(last).groups for position in group.positions}


def in_words(positions: set[Position]) -> str:
    """Describe the positions that are read of a map, around its middle."""
    lines = range(SIDE)
    rows = sum(all((row, column) in positions for column in lines) for row in lines)
    columns = sum(all((row, column) in positions for row in lines) for column in lines)
    if rows == SIDE:
        return 'all positions'
    if rows and columns:
        one = rows == columns == 1
        return 'its row and its column' if one else f'{rows} rows and {columns} columns'
    steps = max(
        abs(line - middle) for each in positions for line, middle in zip(each, MIDDLE, strict=True)
    )
    return f'{len(positions)} positions within ±{steps}'


def pixels_in_words(family: type[VisionMLP]) -> str:
    """Describe what the middle of the default variant's last map sees of a large image."""
    with torch.device('meta'):
        backbone = family(next(iter(family.variants)))
    reaches = layer_reaches(layers_of(backbone), IMAGE_SIDE, IMAGE_SIDE)
    middle = [side // 2 for side in reaches[-1].output_size]
    pixels = pixels_in_reach(reaches, *middle)
    rows, columns = (int(pixels.any(dim).sum()) for dim in (1, 0))
    return f'{rows}×{columns} ({pixels.float().mean():.0%})'


def growth_of_cost(family: type[VisionMLP]) -> int:
    """Return the factor by which the cost of an output grows with a side of twice the length.

    The cost is the number of multiplications in the layers that mix tokens; of several layers, the
    one counts whose cost grows most. Networks of a native size are built for the two sizes.
    """
    smaller, larger = (_costs(family, side) for side in SIDES)
    return max(round(after / before) for before, after in zip(smaller, larger, strict=True))


def _costs(family: type[VisionMLP], side: int) -> list[float]:
    layers = [
        panel for row in rows_of(family, side) for panel in row if isinstance(panel, LayerPanel)
    ]
    costs = []
    for layer in layers:
        with FlopCounterMode(display=False) as counter:
            layer.function(torch.ones(1, layer.channels, side, side, dtype=torch.float64))
        costs.append(counter.get_total_flops() / side**2)
    return [cost for cost in costs if cost]


def statistics_in_words(family: type[VisionMLP]) -> str:
    """Describe what takes statistics of a whole map, and in which variants."""
    with torch.device('meta'):
        found = {name: whole_map_statistics(family(name)) for name in family.variants}
    names = dict.fromkeys(name for statistics in found.values() for name in statistics)
    return ', '.join(
        name if len(having) == len(found) else f'{name} ({", ".join(having)})'
        for name in names
        if (having := [f'`{variant}`' for variant, each in found.items() if name in each])
    )
