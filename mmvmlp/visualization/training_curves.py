"""Curves of a training run: losses and validation metrics over its iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvmlp.output_files import write_atomically
from mmvmlp.visualization.training_log import Points, TrainingLog, read_training_log

AP_NAMES = {
    'coco/bbox_mAP': 'box AP',
    'coco/segm_mAP': 'mask AP',
    'coco/bbox_mAP_50': 'box AP at IoU 0.5',
    'coco/segm_mAP_50': 'mask AP at IoU 0.5',
}
"""The metrics that are drawn, by mmdet's name."""

LOSS_NAMES = {
    'loss': 'total',
    'loss_rpn_cls': 'proposal: object or not',
    'loss_rpn_bbox': 'proposal: box',
    'loss_cls': 'head: class',
    'loss_bbox': 'head: box',
    'loss_mask': 'head: mask',
}

SMOOTHING_SHARE = 0.08
COLOURS = ('#222222', '#1f77b4', '#17a2b8', '#d62728', '#ff9f1c', '#6a4c93', '#2ca02c', '#8c564b')


def draw_training_curves(scalars_json: Path | Sequence[Path], out_file: Path) -> None:
    """Draw the losses and the validations' AP of a run over its iterations, as a PNG.

    Args:
        scalars_json: mmengine's ``<work dir>/<time stamp>/vis_data/scalars.json``; of a run and
            its resumptions all of them, the oldest first.
        out_file: What to write.

    Raises:
        FileNotFoundError: If there is no such log.
        ValueError: If it has no losses.
    """
    files = [scalars_json] if isinstance(scalars_json, Path) else scalars_json
    figure = plot_training_log(read_training_log(*files))
    buffer = BytesIO()
    figure.savefig(buffer, format='png')
    write_atomically(out_file, buffer.getvalue())


def plot_training_log(log: TrainingLog) -> Figure:
    """Plot losses, faint as logged and strong as smoothed, beside AP, if there was a validation."""
    metrics = {name: log.metrics[name] for name in AP_NAMES if name in log.metrics}
    figure = Figure(figsize=(12, 4.6) if metrics else (7, 4.6), dpi=150, layout='constrained')
    # A figure with its own canvas leaves alone the state that matplotlib.pyplot shares.
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    _plot_losses(panels[0], log.losses)
    if metrics:
        _plot_metrics(panels[1], metrics)
    last = max(float(points[-1, 0]) for points in (*log.losses.values(), *metrics.values()))
    for panel in panels:
        panel.set_xlabel('iteration')
        panel.set_xlim(0, last * 1.02)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        panel.grid(alpha=0.25)
        panel.spines[['top', 'right']].set_visible(False)
    return figure


def smooth(values: Points, window: int) -> Points:
    """Average each value with its neighbours, at the ends with those that there are.

    Args:
        values: Shape (N,).
        window: How many values are averaged, an odd number.

    Returns:
        Shape (N,).
    """
    reach = window // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centres = np.arange(len(values))
    # Less on both sides alike near an end: a mean over one side only would bend the curve there.
    reaches = np.minimum(reach, np.minimum(centres, len(values) - 1 - centres))
    averaged: Points = (sums[centres + reaches + 1] - sums[centres - reaches]) / (2 * reaches + 1)
    return averaged


def _plot_losses(panel: Axes, losses: Mapping[str, Points]) -> None:
    names = ['loss', *sorted(losses.keys() - {'loss'}, key=_loss_order)]
    for index, name in enumerate(name for name in names if name in losses):
        points, colour = losses[name], COLOURS[index % len(COLOURS)]
        window = 2 * round(len(points) * SMOOTHING_SHARE / 2) + 1
        panel.plot(points[:, 0], points[:, 1], color=colour, alpha=0.25, linewidth=1)
        panel.plot(
            points[:, 0],
            smooth(points[:, 1], window),
            color=colour,
            linewidth=2.4 if name == 'loss' else 1.6,
            label=LOSS_NAMES.get(name, name),
        )
    panel.set_title('Training losses')
    panel.set_ylabel('loss')
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, ncols=2, loc='best')


def _loss_order(name: str) -> tuple[int, str]:
    known = list(LOSS_NAMES)
    return known.index(name) if name in known else len(known), name


def _plot_metrics(panel: Axes, metrics: Mapping[str, Points]) -> None:
    for name, points in metrics.items():
        panel.plot(
            points[:, 0],
            points[:, 1],
            color='#d62728' if 'bbox' in name else '#6a4c93',
            linestyle=':' if name.endswith('_50') else '-',
            marker='o',
            markersize=5,
            linewidth=1.4 if name.endswith('_50') else 2.2,
            label=f'{AP_NAMES[name]}: {points[-1, 1]:.3f}',
        )
    panel.set_title('Validation')
    panel.set_ylabel('average precision (0 to 1)')
    panel.set_ylim(0, 1)
    # Where the curves, which rise, leave room.
    risen = all(points[-1, 1] > 0.4 for points in metrics.values())
    panel.legend(
        frameon=False,
        title='after the last validation',
        alignment='left',
        loc='lower right' if risen else 'upper left',
    )
