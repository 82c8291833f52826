"""One style for all diagrams: feature maps as squares of cells, on any background.

Sizes are points; the origin is at the upper left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import BoxStyle, FancyArrowPatch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D

CELL = 12.0
GAP = 1.5
TEXT = 11.0

GROUPS = ('#3f86d0', '#e08a1e', '#2a9d72', '#a064c8', '#d9534f')
"""Colours of groups of channels."""

INK, FAINT_INK, EMPTY, BLOCK = '#010101', '#020202', '#030303', '#040404'
"""Stand for the colours below, which depend on the background."""

SCHEMES = {
    'light': {INK: '#1f2328', FAINT_INK: '#5c6470', EMPTY: '#e6e9ed', BLOCK: '#8d97a5'},
    'dark': {INK: '#e6e9ed', FAINT_INK: '#a3acb8', EMPTY: '#30343b', BLOCK: '#7d8794'},
}
NAMES = {INK: '--ink', FAINT_INK: '--faint-ink', EMPTY: '--empty', BLOCK: '--block'}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

Position = tuple[int, int]


def all_positions(height: int, width: int) -> list[Position]:
    """Return the positions of a map."""
    return [(row, column) for row in range(height) for column in range(width)]


@dataclass(frozen=True)
class Spot:
    """A place in a drawing."""

    x: float
    y: float


class Drawing:
    """A drawing of cells, labels and arrows.

    Args:
        width: Width in points.
        height: Height in points.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()
        # Shapes of collections are drawn in the figure's own coordinates, where y points up.
        self._upside_down = Affine2D().scale(1, -1)

    def cells(
        self,
        corner: Spot,
        positions: Iterable[Position],
        colour: str,
        *,
        width: float = CELL,
        height: float = CELL,
    ) -> None:
        """Fill cells of a map whose upper left corner is given."""
        self.squares(
            [Spot(corner.x + column * width, corner.y + row * height) for row, column in positions],
            colour,
            width=width,
            height=height,
        )

    def squares(
        self,
        corners: Sequence[Spot],
        colour: str,
        opacities: Sequence[float] | None = None,
        *,
        width: float = CELL,
        height: float = CELL,
    ) -> None:
        """Fill cells whose upper left corners are given, with one opacity each."""
        if not corners:
            return
        gap = min(GAP, width / 6)
        square = BoxStyle.Round(pad=0, rounding_size=min(2.0, width / 6))(
            gap / 2, gap / 2, width - gap, height - gap, 1
        )
        self._add(
            PathCollection(
                [square],
                offsets=[(corner.x, corner.y) for corner in corners],
                offset_transform=self.axes.transData,
                transform=self._upside_down,
                facecolor=colour,
                alpha=opacities,
                linewidth=0,
            )
        )

    def ring(
        self, corner: Spot, position: Position, *, width: float = CELL, height: float = CELL
    ) -> None:
        """Draw a ring around a cell."""
        row, column = position
        outline = BoxStyle.Round(pad=0, rounding_size=min(3.0, width / 4))(
            corner.x + column * width, corner.y + row * height, width, height, 1
        )
        self._add(PathPatch(outline, fill=False, edgecolor=INK, linewidth=1.8))

    def text(
        self,
        spot: Spot,
        words: str,
        *,
        size: float = TEXT,
        faint: bool = False,
        bold: bool = False,
        align: Literal['left', 'center', 'right'] = 'center',
    ) -> None:
        """Write words, line by line, the first one centred on the height of the spot."""
        for number, line in enumerate(words.split('\n')):
            self.axes.text(
                spot.x,
                spot.y + 0.36 * size + 1.25 * size * number,
                line,
                fontsize=size,
                color=FAINT_INK if faint else INK,
                weight='bold' if bold else 'normal',
                ha=align,
                va='baseline',
            )

    def arrow(self, start: Spot, end: Spot) -> None:
        """Draw an arrow."""
        self._add(
            FancyArrowPatch(
                (start.x, start.y),
                (end.x, end.y),
                arrowstyle='-|>,head_length=4,head_width=2.2',
                mutation_scale=1,
                shrinkA=0,
                shrinkB=0,
                color=FAINT_INK,
                linewidth=1.3,
            )
        )

    def line(self, *spots: Spot) -> None:
        """Draw a line from spot to spot."""
        outline = Outline([(spot.x, spot.y) for spot in spots])
        self._add(PathPatch(outline, fill=False, edgecolor=FAINT_INK, linewidth=1.3))

    def _add(self, patch: Any) -> None:
        patch.set_clip_on(False)
        self.axes.add_artist(patch)

    def svg(self, data: Any) -> bytes:
        """Return the drawing as SVG.

        Its colours follow the scheme of the page that shows it.

        Args:
            data: What is drawn; it is kept in the file, as JSON.
        """
        kept = json.dumps(data, separators=(',', ':'))
        buffer = BytesIO()
        settings = {'svg.fonttype': 'none', 'svg.hashsalt': 'mmvmlp'}
        about = {'Date': None, 'Creator': None, 'Description': kept}
        with matplotlib.rc_context(settings):
            self.figure.savefig(buffer, format='svg', transparent=True, metadata=about)
        text = buffer.getvalue().decode()
        for colour, name in NAMES.items():
            text = text.replace(colour, f'var({name})')
        text = re.sub(r' font-family: [^;]*;', '', text)
        return text.replace('</metadata>', f'</metadata>\n <style>{_styles()}</style>', 1).encode()


def _styles() -> str:
    light, dark = (
        '; '.join(f'{NAMES[colour]}: {value}' for colour, value in SCHEMES[scheme].items())
        for scheme in ('light', 'dark')
    )
    return (
        f'text {{ font-family: {FONT} }} :root {{ {light} }} '
        f'@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}'
    )
