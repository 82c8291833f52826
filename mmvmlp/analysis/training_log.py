"""What mmengine logged of a training run, with everything on one axis of iterations, and curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvmlp.analysis.whole_file import write_whole_file

Points = npt.NDArray[np.float64]

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


@dataclass(frozen=True)
class TrainingLog:
    """Logged values over iterations.

    Attributes:
        losses: For each loss of the log, iterations and values, shape (N, 2).
        metrics: For each metric of the validations, iterations and values, shape (N, 2).
    """

    losses: Mapping[str, Points] = field(default_factory=dict)
    metrics: Mapping[str, Points] = field(default_factory=dict)


def read_training_log(*files: Path) -> TrainingLog:
    """Read the ``scalars.json`` of a run, or of a run and its resumptions.

    Args:
        files: ``<work dir>/<time stamp>/vis_data/scalars.json``, the oldest first. What a
            resumption repeats replaces what was logged before.

    Raises:
        FileNotFoundError: If one is not there.
        ValueError: If one has no losses, that is, is not such a file.
    """
    losses: dict[str, dict[float, float]] = {}
    metrics: dict[str, dict[float, float]] = {}
    for file in files:
        train, val = _read_lines(file)
        first = float(train[0]['step'])
        for series in (*losses.values(), *metrics.values()):
            for step in [step for step in series if step >= first]:
                del series[step]
        for line in train:
            for key, value in line.items():
                if key == 'loss' or key.startswith('loss_'):
                    losses.setdefault(key, {})[float(line['step'])] = float(value)
        for step, line in val:
            for key in AP_NAMES.keys() & line.keys():
                metrics.setdefault(key, {})[step] = float(line[key])
    return TrainingLog(
        {key: _points(series) for key, series in losses.items()},
        {key: _points(metrics[key]) for key in AP_NAMES if key in metrics},
    )


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
    write_whole_file(out_file, buffer.getvalue())


def plot_training_log(log: TrainingLog) -> Figure:
    """Plot losses, faint as logged and strong as smoothed, beside AP, if there was a validation."""
    figure = Figure(figsize=(12, 4.6) if log.metrics else (7, 4.6), dpi=150, layout='constrained')
    # A figure with its own canvas leaves alone the state that matplotlib.pyplot shares.
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if log.metrics else 1, squeeze=False)[0]
    _plot_losses(panels[0], log.losses)
    if log.metrics:
        _plot_metrics(panels[1], log.metrics)
    last = max(float(points[-1, 0]) for points in (*log.losses.values(), *log.metrics.values()))
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
    panel.legend(frameon=False, ncols=2, loc='upper right')


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
    panel.legend(frameon=False, title='after the last validation', alignment='left')


def _points(series: Mapping[float, float]) -> Points:
    return np.array(sorted(series.items()), dtype=np.float64).reshape(-1, 2)


def _read_lines(file: Path) -> tuple[list[dict[str, Any]], list[tuple[float, dict[str, Any]]]]:
    """Return the lines of training, and those of validations with their iteration."""
    if not file.is_file():
        raise FileNotFoundError(f'training log {str(file)!r}: there is no such file')
    lines = []
    for text in file.read_text(encoding='utf-8').splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            # The last line of a run that was killed, or goes on, may be half of one.
            continue
    train = [line for line in lines if isinstance(line, dict) and 'loss' in line]
    if not train:
        raise ValueError(
            f"training log {str(file)!r} has no losses; is it mmengine's scalars.json?"
        )
    per_epoch = _iterations_per_epoch(train)
    val = []
    epoch = 0
    for line in lines:
        if 'loss' in line:
            epoch = line.get('epoch', 0)
        elif AP_NAMES.keys() & line.keys():
            # Of a run by epochs mmengine logs the epoch as the step of a validation.
            by_epoch = epoch > 0 and line['step'] <= epoch
            val.append((line['step'] * per_epoch if by_epoch else float(line['step']), line))
    return train, val


def _iterations_per_epoch(train: Sequence[Mapping[str, Any]]) -> float:
    """Find the length of an epoch; the log need not have a line of an epoch's last iteration.

    Within each epoch the first line comes after as many iterations, so that two such lines are
    whole epochs apart. With only one epoch its last line is the best there is.
    """
    firsts: dict[int, float] = {}
    for line in train:
        firsts.setdefault(int(line.get('epoch', 0)), float(line['step']))
    epochs = sorted(firsts)
    # A resumption may begin within an epoch; its first line is then not comparable.
    if len(epochs) > 2:
        epochs = epochs[1:]
    if len(epochs) > 1:
        return (firsts[epochs[-1]] - firsts[epochs[0]]) / (epochs[-1] - epochs[0])
    return float(train[-1]['step']) / max(int(train[-1].get('epoch', 1)), 1)
