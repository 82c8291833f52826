"""Figures of many small maps, one for each layer, in the order of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvmlp.output_files import write_atomically

COLOURS = ('#1f77b4', '#d62728', '#2ca02c', '#ff9f1c', '#6a4c93', '#17a2b8', '#8c564b', '#222222')
MARKERS = 'osD^vPX*'
OUTLINE = '#35e0ff'
PANELS_PER_ROW = 8


@dataclass(frozen=True)
class Panel:
    """A map with a title.

    Attributes:
        title: One or more lines.
        values: (H, W); or an RGB image (H, W, 3), uint8.
        outlined: Positions inside an outline, (H, W), bool.
    """

    title: str
    values: torch.Tensor
    outlined: torch.Tensor | None = None


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with a canvas of its own, in inches."""
    figure = Figure(figsize=(width, height), dpi=150, layout='constrained')
    # A figure with its own canvas leaves alone the state that matplotlib.pyplot shares.
    FigureCanvasAgg(figure)
    return figure


def draw_panels(
    panels: Sequence[Panel],
    title: str,
    scale: str = '',
    panels_per_row: int = PANELS_PER_ROW,
    **options: Any,
) -> Figure:
    """Draw maps row by row.

    Args:
        panels: The maps.
        title: Title of the figure.
        scale: What the colours show, beside a colour bar; by default there is none.
        panels_per_row: Maps side by side.
        **options: Of matplotlib's ``imshow``, such as ``cmap`` and ``norm``.
    """
    columns = min(panels_per_row, len(panels))
    rows = -(-len(panels) // columns)
    titles = max(panel.title.count('\n') + 1 for panel in panels)
    width = max(1.55 * columns + (0.9 if scale else 0.2), 4.5)
    figure = new_figure(width, (1.5 + 0.14 * titles) * rows + 0.55)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    image = None
    for place, panel in zip(axes, panels, strict=False):
        shown = place.imshow(panel.values.numpy(), interpolation='nearest', **options)
        image = shown if panel.values.ndim == 2 else image
        outlined = panel.outlined
        if outlined is not None and not bool(outlined.all()):
            edges = torch.nn.functional.pad(outlined.float(), (1, 1, 1, 1)).numpy()
            rows_of, columns_of = (np.arange(-1, side + 1) for side in outlined.shape)
            place.contour(columns_of, rows_of, edges, [0.5], colors=OUTLINE, linewidths=0.8)
            place.set_xlim(-0.5, outlined.shape[1] - 0.5)
            place.set_ylim(outlined.shape[0] - 0.5, -0.5)
        place.set_title(panel.title, fontsize=7)
        place.set_xticks([])
        place.set_yticks([])
    for place in axes[len(panels) :]:
        place.set_axis_off()
    if scale and image is not None:
        bar = figure.colorbar(image, ax=axes.tolist(), shrink=min(1.0, 3 / rows), aspect=30)
        bar.set_label(scale, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def draw_lines_over_depth(
    panels: Sequence[tuple[str, str, dict[str, list[tuple[int, float]]]]], title: str
) -> Figure:
    """Draw lines over the number of the block.

    Args:
        panels: Title, label of the values, and by name of a line its points (block, value).
        title: Title of the figure.
    """
    figure = new_figure(6.5 * len(panels), 4.4)
    figure.suptitle(title, fontsize=11)
    for axes, (heading, label, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for number, (name, points) in enumerate(lines.items()):
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                linewidth=1.4,
                linestyle='-' if number < len(COLOURS) else '--',
            )
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel('block')
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc='upper left', bbox_to_anchor=(1, 1))
    return figure


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure as a PNG.

    Args:
        figure: The figure.
        file: Its folder must exist.

    Raises:
        OSError: If the file cannot be written.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format='png')
    write_atomically(file, buffer.getvalue())
