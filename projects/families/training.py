"""Train detectors of digits for equal processor time, and test them.

Wall-clock time depends on what else runs on a machine, so a training is given processor time.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from mmengine import fileio
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from projects.resolution_study.detection import CONFIGS, METRICS, TRAINED_OTHERWISE

HEADS = ('dino_hire_mlp_nano_digits.py', 'mask_rcnn_hire_mlp_nano_digits.py')
"""Detectors with the same backbone."""
WARM_UP = 0.05
"""Share of the time in which the learning rate increases linearly, before it falls as a cosine."""


class Record(TypedDict):
    """Result of a training."""

    config: str
    network: str
    parameters: int
    seconds: float
    steps: int
    box_ap: float
    mask_ap: float | None


class ProcessorTimeHook(Hook):
    """Ends training after a time of this process, over which it also schedules the learning rate.

    Args:
        seconds: Processor time of the training.
    """

    priority = 'VERY_LOW'

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.start = time.process_time()
        self.rates = [group['lr'] for group in runner.optim_wrapper.param_groups]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the learning rate."""
        spent = (time.process_time() - self.start) / self.seconds
        scale = learning_rate_scale(spent)
        for group, rate in zip(runner.optim_wrapper.param_groups, self.rates, strict=True):
            group['lr'] = rate * scale

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop if the time is over."""
        if time.process_time() - self.start >= self.seconds:
            runner.train_loop.stop_training = True


def learning_rate_scale(spent: float) -> float:
    """Return the factor of the learning rate after a share of the time."""
    if spent < WARM_UP:
        return max(spent, 0.001) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - WARM_UP) / (1 - WARM_UP))))


def family_configs(checkout: Path) -> list[Path]:
    """Return the detector of each family."""
    return sorted(file for file in checkout.glob(CONFIGS) if file.name != TRAINED_OTHERWISE)


def head_configs(checkout: Path) -> list[Path]:
    """Return the detectors with the same backbone."""
    return [checkout / 'configs' / name for name in HEADS]


def train_detectors(
    checkout: Path,
    files: Sequence[Path],
    data: Path,
    work_dir: Path,
    *,
    seconds: float,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> list[Record]:
    """Train and test each detector in a process of its own, with one thread.

    Args:
        checkout: Root of the repository.
        files: Configs of the detectors.
        data: Folder of the digit scenes, generated if missing.
        work_dir: Folder of logs and records; trainings recorded there are not repeated.
        seconds: Processor time of each training.
        jobs: Trainings side by side.
        report: Called with a line for each detector.

    Raises:
        RuntimeError: If a training fails.
        ValueError: If a number is not accepted.
    """
    for name, value in (('seconds', seconds), ('jobs', jobs)):
        if value <= 0:
            raise ValueError(f'{name}={value!r}: a number above 0 is accepted')
    work_dir.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        make_digit_scenes(data)

    def trained(file: Path) -> Record:
        record_file = work_dir / f'{file.stem}_{seconds:g}.json'
        if not record_file.exists():
            command = (
                *(sys.executable, '-m', 'projects.families.training'),
                *(str(file), str(data), str(work_dir), str(seconds), str(record_file)),
            )
            done = subprocess.run(
                command,
                cwd=checkout,
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f'{file.name} failed:\n{done.stderr[-2000:]}')
        record: Record = fileio.load(record_file)
        report(f'{record["config"]}: {record["steps"]} steps, box AP {record["box_ap"]}')
        return record

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(trained, files))


def train_detector(file: Path, data: Path, work_dir: Path, seconds: float) -> Record:
    """Train a detector of digits for a time, and test it."""
    runner = Runner.from_cfg(endless(load_config(file), data, work_dir / file.stem))
    runner.register_hook(ProcessorTimeHook(seconds))
    runner.train()
    metrics = runner.val()
    model = runner.model
    return {
        'config': file.stem,
        'network': model.backbone.title,
        'parameters': sum(p.numel() for p in model.parameters()),
        'seconds': seconds,
        'steps': runner.iter,
        'box_ap': metrics[f'coco/{METRICS[0]}'],
        # Detectors without masks have none.
        'mask_ap': metrics.get(f'coco/{METRICS[1]}'),
    }


def endless(config: Config, data: Path, work_dir: Path) -> Config:
    """Return a detector's config without a schedule, whose training a hook ends."""
    set_data_root(config, data)
    config.work_dir = str(work_dir)
    config.randomness = {'seed': 0}
    config.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': 10**6, 'val_interval': 10**6}
    config.train_dataloader.sampler = {'type': 'InfiniteSampler', 'shuffle': True}
    config.param_scheduler = None
    config.default_hooks.pop('checkpoint')
    config.log_processor = {'by_epoch': False}
    return config


def main(arguments: Sequence[str]) -> None:
    """Train a detector, and write its record."""
    file, data, work_dir, seconds, record_file = arguments
    record = train_detector(Path(file), Path(data), Path(work_dir), float(seconds))
    fileio.dump(record, record_file)


if __name__ == '__main__':
    main(sys.argv[1:])
