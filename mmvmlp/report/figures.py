"""Figures as SVG within a page, whose colours follow the page's scheme."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvmlp.visualization.training_curves import SMOOTHING_SHARE, smooth
from mmvmlp.visualization.training_log import Points

Values = npt.NDArray[np.float64]

INK, FAINT_INK = '#010203', '#040506'
SERIES = ('#2a78d6', '#eb6834', '#1baf7a', '#eda100', '#4a3aa7', '#e34948', '#e87ba4', '#008300')
"""Colours of a light page, and stand-ins for the variables that the page's style sheet sets."""

VARIABLES = {
    INK: 'var(--ink)',
    FAINT_INK: 'var(--faint)',
    **{colour: f'var(--series-{index})' for index, colour in enumerate(SERIES, 1)},
}
LINE_STYLES = ('-', '--', ':', '-.')
STYLE = {
    'svg.fonttype': 'none',
    'text.parse_math': False,
    'font.size': 9,
    'axes.titlesize': 10,
    'legend.fontsize': 8.5,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.alpha': 0.35,
    'grid.color': FAINT_INK,
    'axes.edgecolor': FAINT_INK,
    'text.color': INK,
    'axes.labelcolor': INK,
    'axes.titlecolor': INK,
    'xtick.color': FAINT_INK,
    'ytick.color': FAINT_INK,
    'xtick.labelcolor': INK,
    'ytick.labelcolor': INK,
    'legend.frameon': False,
}
WIDTH = 4.8
"""Inches at 72 points: about the width of a phone, so that letters keep their size there."""

# From nothing to the first colour of a series, so that it lies on either page.
SHADES = LinearSegmentedColormap.from_list('shades', [f'{SERIES[0]}00', f'{SERIES[0]}ff'])
NAMED_CLASSES = 40
"""With more classes, a figure has no room for their names."""

COUNTED_CLASSES = 12
"""With more classes, a confusion matrix has no room for numbers."""


def line_style(index: int) -> dict[str, Any]:
    """Return the colour and the dashes of the line of a run, or of another series."""
    return {
        'color': SERIES[index % len(SERIES)],
        'linestyle': LINE_STYLES[index // len(SERIES) % len(LINE_STYLES)],
    }


def plot_series(
    series: Mapping[str, Points],
    title: str,
    label: str,
    *,
    smoothed: bool = False,
    markers: bool = False,
    from_zero: bool = False,
) -> Markup:
    """Plot values over the iterations of a training.

    Args:
        series: By name, iterations and values, shape (N, 2).
        title: Of the figure.
        label: Of the values, with their unit.
        smoothed: True to draw what was logged faintly, and its running mean strongly.
        markers: True to mark every value.
        from_zero: True to let the axis begin at zero.
    """
    with rc_context(STYLE):
        # Space for the names below, two in a row.
        figure, axes = _figure(title, 2.7 + 0.2 * (-(-len(series) // 2)))
        for index, (name, points) in enumerate(series.items()):
            style = line_style(index)
            points = points[np.isfinite(points[:, 1])]
            values = points[:, 1]
            if smoothed:
                axes.plot(points[:, 0], values, alpha=0.25, linewidth=1, **style)
                values = smooth(values, 2 * round(len(points) * SMOOTHING_SHARE / 2) + 1)
            marker = 'o' if markers or len(points) == 1 else None
            axes.plot(
                *(points[:, 0], values),
                **style,
                linewidth=1.6,
                label=name,
                marker=marker,
                markersize=4,
            )
        axes.set_xlabel('iteration')
        axes.set_ylabel(label)
        axes.set_xlim(0, 1.02 * max(float(points[-1, 0]) for points in series.values()))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if from_zero:
            axes.set_ylim(bottom=0)
        if len(series) > 1:
            _legend(figure, len(series))
        return _svg(figure, title)


def plot_bars(
    names: Sequence[str],
    values: Mapping[str, Values],
    title: str,
    label: str,
    *,
    of_shares: bool = True,
) -> Markup:
    """Plot bars for each name, the first name on top.

    Args:
        names: What is compared.
        values: By series, shape (N,).
        title: Of the figure.
        label: Of the values, with their unit.
        of_shares: True for an axis from zero to one.
    """
    with rc_context(STYLE):
        figure, axes = _figure(title, 1 + 0.2 * len(names) * max(1, 0.8 * len(values)))
        thickness = 0.8 / len(values)
        places = np.arange(len(names)) - 0.4 + thickness / 2
        for index, (name, lengths) in enumerate(values.items()):
            bars = axes.barh(
                places + index * thickness,
                lengths,
                color=SERIES[index],
                height=thickness * 0.9,
                label=name,
            )
            axes.bar_label(bars, fmt='%.3f', padding=3, fontsize=8)
        axes.set_yticks(np.arange(len(names)), [_short(name) for name in names])
        axes.invert_yaxis()
        axes.grid(False, axis='y')
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        longest = max(float(lengths.max(initial=0)) for lengths in values.values())
        axes.set_xlim(0, 1.12 * (1 if of_shares else longest or 1))
        if len(values) > 1:
            _legend(figure, len(values))
        return _svg(figure, title)


def plot_precision_recall(
    curves: Mapping[str, Values], by_class: Sequence[Values], recalls: Values, title: str
) -> Markup:
    """Plot precision over recall.

    Args:
        curves: Means over the classes, by name, shape (R,).
        by_class: The curves of the classes at IoU 0.5, which are drawn faintly.
        recalls: Shape (R,).
        title: Of the figure.
    """
    with rc_context(STYLE):
        figure, axes = _figure(title, 3.6)
        for index, values in enumerate(by_class):
            label = None if index else 'each class, IoU 0.5'
            axes.plot(recalls, values, color=FAINT_INK, linewidth=0.7, alpha=0.35, label=label)
        for index, (name, values) in enumerate(curves.items()):
            axes.plot(recalls, values, linewidth=1.8, label=name, **line_style(index))
        axes.set_xlabel('recall')
        axes.set_ylabel('precision')
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.03)
        _legend(figure, len(curves) + 1)
        return _svg(figure, title)


def plot_confusion(
    counts: npt.NDArray[np.uint64], rows: Sequence[str], columns: Sequence[str], title: str
) -> Markup:
    """Plot a confusion matrix; each row is shaded by its shares, and few classes have numbers.

    Args:
        counts: Shape (rows, columns).
        rows: What is annotated.
        columns: What is predicted.
        title: Of the figure.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with rc_context({**STYLE, 'axes.grid': False}):
        figure, axes = _figure(title, 4.6)
        axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, interpolation='nearest', aspect='auto')
        named = max(counts.shape) <= NAMED_CLASSES
        axes.set_xlabel('predicted' if named else 'predicted, number of the class')
        axes.set_ylabel('annotated' if named else 'annotated, number of the class')
        if named:
            size = 8 if len(rows) <= 20 else 5.5
            axes.set_xticks(np.arange(len(columns)), [_short(name) for name in columns])
            for label in axes.get_xticklabels():
                label.set(fontsize=size, rotation=90 if len(label.get_text()) > 2 else 0)
            axes.set_yticks(np.arange(len(rows)), [_short(name) for name in rows], fontsize=size)
        if max(counts.shape) <= COUNTED_CLASSES:
            for (row, column), share in np.ndenumerate(shares):
                if counts[row, column]:
                    axes.text(
                        column,
                        row,
                        _brief(int(counts[row, column])),
                        ha='center',
                        va='center',
                        fontsize=7,
                        color='white' if share > 0.6 else INK,
                    )
        return _svg(figure, title)


def _figure(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.set_title(title, loc='left', fontweight='bold')
    return figure, axes


def _legend(figure: Figure, count: int) -> None:
    figure.legend(loc='outside lower left', ncols=min(count, 2), alignment='left')


def _svg(figure: Figure, title: str) -> Markup:
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    buffer = StringIO()
    nothing = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
    figure.savefig(buffer, format='svg', metadata=nothing, transparent=True)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index('<svg') :]
    # Within HTML the name spaces are known, and the ids of groups would repeat in every figure.
    drawing = re.sub(r' xmlns(:\w+)?="[^"]*"| version="1.1"', '', drawing)
    drawing = re.sub(r'<g id="[^"]*"', '<g', drawing)
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1', drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1', drawing, count=1)
    for colour, variable in VARIABLES.items():
        drawing = drawing.replace(colour, variable)
    label = Markup(' role="img" aria-label="{}"').format(title)
    return Markup(drawing.replace('<svg', f'<svg{label}', 1))


def _short(name: str) -> str:
    return name if len(name) <= 18 else f'{name[:17]}…'


def _brief(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f'{count / 1e3:.0f}k' if count < 1e6 else f'{count / 1e6:.0f}M'
