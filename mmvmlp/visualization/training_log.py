"""Reads what mmengine logged of a training run, on one axis of iterations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

PLACES = ('step', 'iter', 'epoch')
"""What says where a line belongs, not what was measured."""


@dataclass(frozen=True)
class TrainingLog:
    """Logged values over iterations.

    Attributes:
        losses: For each loss of the log, iterations and values, shape (N, 2).
        metrics: For each metric of the validations, iterations and values, shape (N, 2).
        measures: Likewise what else is logged in training: learning rates, times, memory.
        epoch: The last epoch of training that was logged, or 0 of a run by iterations.
    """

    losses: Mapping[str, Points] = field(default_factory=dict)
    metrics: Mapping[str, Points] = field(default_factory=dict)
    measures: Mapping[str, Points] = field(default_factory=dict)
    epoch: int = 0


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
    measures: dict[str, dict[float, float]] = {}
    epoch = 0
    for file in files:
        train, val = _read_lines(file)
        first = float(train[0]['step'])
        for series in (*losses.values(), *metrics.values(), *measures.values()):
            for step in [step for step in series if step >= first]:
                del series[step]
        for line in train:
            for key, value in line.items():
                is_loss = key == 'loss' or key.startswith('loss_')
                if key not in PLACES:
                    series = (losses if is_loss else measures).setdefault(key, {})
                    series[float(line['step'])] = float(value)
        for step, line in val:
            for key in line.keys() - {*PLACES, 'time', 'data_time'}:
                metrics.setdefault(key, {})[step] = float(line[key])
        epoch = int(train[-1].get('epoch', 0))
    return TrainingLog(
        {key: _points(series) for key, series in losses.items()},
        {key: _points(metrics[key]) for key in sorted(metrics)},
        {key: _points(series) for key, series in measures.items()},
        epoch,
    )


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
        elif 'step' in line:
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
