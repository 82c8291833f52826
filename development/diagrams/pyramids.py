"""The diagram of levels and strides: backbones of four, one and two strides, and their pyramids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from development.diagrams.drawing import EMPTY, GROUPS, Drawing, Spot, all_positions
from mmvmlp.backbones import HireMLP, ResMLP, ViP
from mmvmlp.backbones.base import FeatureInfo, VisionMLP
from mmvmlp.necks import SimplePyramid

IMAGE_SIDE = 64
MAP = 56.0
BETWEEN, ARROW, MARGIN, TITLE, LABELS, LEGEND = 12.0, 96.0, 6.0, 20.0, 42.0, 4.0


@dataclass(frozen=True)
class Example:
    """A backbone, and the levels of it that a pyramid is made from.

    Attributes:
        family: Family of the backbone.
        arch: Its variant.
        out_indices: The levels that it emits.
        has_neck: True to make a pyramid from them, False where they are one.
    """

    family: type[VisionMLP]
    arch: str
    out_indices: tuple[int, ...]
    has_neck: bool


EXAMPLES = (
    Example(HireMLP, 'small', (0, 1, 2, 3), has_neck=False),
    Example(ResMLP, 's24', (3,), has_neck=True),
    Example(ViP, 'small7', (0, 3), has_neck=True),
)


def diagram() -> bytes:
    """Return the diagram, as SVG."""
    row = TITLE + MAP + LABELS
    half = 4 * MAP + 3 * BETWEEN
    drawing = Drawing(2 * half + ARROW + 2 * MARGIN, row * len(EXAMPLES) + LEGEND)
    drawn = []
    for number, example in enumerate(EXAMPLES):
        top = number * row
        with torch.device('meta'):
            backbone = example.family(example.arch, out_indices=example.out_indices)
        levels = backbone.levels()
        emitted = {level: GROUPS[place] for place, level in enumerate(example.out_indices)}
        if not example.has_neck:
            emitted = dict.fromkeys(example.out_indices, GROUPS[0])
        title = f"{example.family.title} '{example.arch}', out_indices={example.out_indices}"
        drawing.text(Spot(MARGIN, top + 8), title, bold=True, align='left')
        colours = [emitted.get(level, EMPTY) for level in range(len(levels))]
        _draw_levels(drawing, Spot(MARGIN, top + TITLE), levels, colours)
        record: dict[str, Any] = {'levels': [[each.channels, each.stride] for each in levels]}
        if example.has_neck:
            infos = backbone.feature_info
            neck = SimplePyramid([info.channels for info in infos], [info.stride for info in infos])
            start = Spot(MARGIN + half, top + TITLE + MAP / 2)
            drawing.arrow(Spot(start.x + 8, start.y), Spot(start.x + ARROW - 8, start.y))
            drawing.text(Spot(start.x + ARROW / 2, start.y - 10), 'SimplePyramid', size=10)
            colours = [GROUPS[source] for source in neck.sources]
            _draw_levels(drawing, Spot(start.x + ARROW, top + TITLE), neck.feature_info, colours)
            record['pyramid'] = [[each.channels, each.stride] for each in neck.feature_info]
            record['sources'] = neck.sources
        drawn.append(record)
    return drawing.svg(drawn)


def _draw_levels(
    drawing: Drawing, corner: Spot, levels: Sequence[FeatureInfo], colours: Sequence[str]
) -> None:
    for number, (level, colour) in enumerate(zip(levels, colours, strict=True)):
        place = Spot(corner.x + number * (MAP + BETWEEN), corner.y)
        positions = IMAGE_SIDE // level.stride
        side = MAP / positions
        drawing.cells(place, all_positions(positions, positions), colour, width=side, height=side)
        below = Spot(place.x + MAP / 2, place.y + MAP + 10)
        words = f'stride {level.stride}\n{level.channels} channels'
        drawing.text(below, words, size=9, faint=True)


def diagrams() -> dict[str, bytes]:
    """Return the diagram, by the name of its file."""
    return {'pyramids.svg': diagram()}
