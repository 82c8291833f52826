"""Trainings, as their work folders record them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from mmvmlp.config.loading import load_config
from mmvmlp.visualization.training_log import TrainingLog, read_training_log

SCALARS = 'vis_data/scalars.json'
SETTINGS = frozenset(inspect.signature(Runner.__init__).parameters) | {'auto_scale_lr'}
"""What a runner reads of a config; the rest are variables that only helped to write it."""

WHERE_IT_RAN = ('work_dir', 'experiment_name', 'launcher')
ENVIRONMENT = re.compile(r'^ {4}([\w.]+(?: \w+)*): (.+)$', re.MULTILINE)
LEFT_OUT = ('CUDA_HOME', 'GCC', 'MUSA available', 'PyTorch compiling details', 'mp_cfg', 'dist_cfg')


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        name: What the report calls it.
        folder: Its work folder.
        config: The config of its last start; ``work_dir`` is the folder's present place.
        config_text: What its file has.
        log: What it logged.
        environment: Versions, devices and seed, as mmengine logged them, by mmengine's names.
        started: When it started first.
    """

    name: str
    folder: Path
    config: Config
    config_text: str
    log: TrainingLog
    environment: Mapping[str, str]
    started: datetime

    @property
    def iterations(self) -> int:
        """How far the log goes."""
        return int(self.log.losses['loss'][-1, 0])

    @property
    def progress(self) -> str:
        """How far the log goes, and how far the training is to go."""
        settings = self.config.get('train_cfg') or {}
        if self.log.epoch:
            return f'epoch {self.log.epoch} of {settings.get("max_epochs", "?")}'
        return f'iteration {self.iterations} of {settings.get("max_iters", "?")}'

    @property
    def seconds(self) -> float | None:
        """Time of all its iterations, without validations; None if it was not logged."""
        times = self.log.measures.get('time')
        if times is None:
            return None
        # A line has the mean of the last iterations.
        return float(np.sum(np.diff(times[:, 0], prepend=0) * times[:, 1]))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the config by key, such as ``optim_wrapper.optimizer.lr``."""
        read = self.config.to_dict()
        return {
            key: value
            for name in sorted(SETTINGS & read.keys() - set(WHERE_IT_RAN))
            for key, value in _leaves(name, read[name])
        }


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the work folders of trainings, finished or running.

    Args:
        folders: As mmengine writes them.

    Raises:
        FileNotFoundError: If there is no such folder, or no log of a training in it.
        ValueError: If a folder is named twice, or its config cannot be read.
    """
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise ValueError(f'work folder {str(folder)!r} is named more than once')
    names = [place.name for place in places]
    return [
        _read_run(folder, place.name if names.count(place.name) == 1 else str(folder))
        for folder, place in zip(folders, places, strict=True)
    ]


def _read_run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise FileNotFoundError(f'work folder {str(folder)!r}: there is no such folder')
    # A start that ended before the first line, and tests, have no losses.
    logs = [
        file
        for file in sorted(folder.glob(f'*/{SCALARS}'))
        if '"loss":' in file.read_text(encoding='utf-8')
    ]
    if not logs:
        raise FileNotFoundError(
            f'work folder {str(folder)!r} has no */{SCALARS} with losses: the work folder of a '
            'training is accepted, after its first line of the log'
        )
    # One that began anew in the same folder replaces what was there before.
    began = max(index for index, file in enumerate(logs) if index == 0 or not _resumed(file))
    logs = logs[began:]
    config_file = logs[-1].with_name('config.py')
    config = load_config(config_file)
    config.work_dir = str(folder)
    first, last = logs[0].parents[1], logs[-1].parents[1]
    return Run(
        name=name,
        folder=folder,
        config=config,
        config_text=config_file.read_text(encoding='utf-8'),
        log=read_training_log(*logs),
        environment=_environment(last / f'{last.name}.log'),
        started=_time_of(first),
    )


def _resumed(scalars: Path) -> bool:
    """Tell whether a start went on from a checkpoint, as mmengine logs it."""
    start = scalars.parents[1]
    log = start / f'{start.name}.log'
    return log.is_file() and 'resumed epoch: ' in log.read_text(encoding='utf-8', errors='replace')


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Find the settings in which runs differ.

    Returns:
        By key, the value of each run, or None where it has no such setting. What ``test_…`` repeats
        of ``val_…`` is left out.
    """
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    found = {key: [run.settings.get(key) for run in runs] for key in keys}
    found = {key: values for key, values in found.items() if any(v != values[0] for v in values)}
    return {
        key: values
        for key, values in found.items()
        if not (key.startswith('test_') and found.get(f'val_{key[5:]}') == values)
    }


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield key, value
        return
    for name, item in items:
        yield from _leaves(f'{key}.{name}', item)


def _environment(log: Path) -> dict[str, str]:
    if not log.is_file():
        return {}
    text = log.read_text(encoding='utf-8', errors='replace')
    # The first block between lines of dashes.
    _, _, rest = text.partition('System environment:')
    block, _, _ = rest.partition('-' * 60)
    found = {key: value.strip() for key, value in ENVIRONMENT.findall(block)}
    return {key: value for key, value in found.items() if key not in LEFT_OUT}


def _time_of(start: Path) -> datetime:
    """Return the time in the name of a start's folder, or else that of the folder."""
    stamp = re.match(r'\d{8}_\d{6}', start.name)
    if stamp:
        return datetime.strptime(stamp[0], '%Y%m%d_%H%M%S')
    return datetime.fromtimestamp(start.stat().st_mtime)
