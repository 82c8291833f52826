"""Predict and train for a long time in one process, and record its memory, for docs/robustness.md.

Run as ``python -m development.soak``; it takes ten minutes on two cores, and writes
docs/soak.json and its table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from development.generated_document import markdown_table, write_record
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.inference.predictors import make_predictor

ROOT = Path(__file__).resolve().parents[1]
RECORD = 'docs/soak.json'
DOCUMENT = 'docs/robustness.md'
SECTION = 'soak'
COMMAND = 'python -m development.soak'

CONFIG = ROOT / 'configs/mask_rcnn_hire_mlp_nano_digits.py'
SIDES = (32, 256)
"""Smallest and largest side of an image, in pixels."""
PREDICTIONS, STEPS = 2000, 300
WARM_UP = 200
"""Number of predictions or, in proportion, steps in which memory may grow."""


def soak_predictions(count: int, folder: Path) -> list[int]:
    """Predict on images of random sizes, drawings included.

    Args:
        count: Number of predictions.
        folder: Empty folder for a checkpoint.

    Returns:
        Resident memory of the process in bytes after each prediction.
    """
    config = load_config(CONFIG)
    # The network runs at the size of the image.
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.pop('scale')
            step.scale_factor = 1.0
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    checkpoint = folder / 'untrained.pth'
    torch.save({'state_dict': MODELS.build(config.model).state_dict()}, checkpoint)
    predictor = make_predictor(config, checkpoint, score_threshold=0.1)
    sizes, pixels = random.Random(0), np.random.default_rng(0)
    memory = []
    for _ in range(count):
        shape = (sizes.randint(*SIDES), sizes.randint(*SIDES), 3)
        predictor(pixels.integers(0, 256, shape, dtype=np.uint8))
        memory.append(_resident_memory())
    return memory


def soak_training(count: int, folder: Path) -> list[int]:
    """Train on images resized at random.

    Args:
        count: Number of training steps.
        folder: Empty folder for data and checkpoints.

    Returns:
        Resident memory of the process in bytes after each step.
    """
    config = load_config(CONFIG)
    set_data_root(config, make_digit_scenes(folder / 'data', train=40, val=2, progress=False))
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.update(type='RandomResize', scale=[(64, 64), (256, 256)])
    config.train_dataloader.batch_size = 2
    config.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': count}
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.log_level = 'ERROR'
    config.work_dir, config.randomness = str(folder / 'work'), {'seed': 0}
    memory: list[int] = []

    class MemoryHook(Hook):
        def after_train_iter(self, *_: Any, **__: Any) -> None:
            memory.append(_resident_memory())

    runner = Runner.from_cfg(config)
    runner.register_hook(MemoryHook())
    runner.train()
    return memory


def _resident_memory() -> int:
    return int(psutil.Process().memory_info().rss)


def outcome(name: str, memory: Sequence[int]) -> dict[str, Any]:
    """Compare the memory after the warm-up with that in it.

    Args:
        name: What was repeated.
        memory: Resident memory in bytes after each repetition.
    """
    warm_up = min(WARM_UP, len(memory) * 2 // 3)
    before, after = memory[:warm_up], memory[warm_up:]
    return {
        'repeated': name,
        'count': len(memory),
        'warm_up': warm_up,
        'highest_in_warm_up': max(before),
        'highest_after': max(after),
        'last': after[-1],
    }


def soak_section(record: dict[str, Any]) -> str:
    """Return a table of the outcomes."""
    headings = ['repeated in one process', 'warm-up', 'highest in it', 'highest after', 'growth']
    rows = [
        [
            f'{each["count"]} {each["repeated"]}',
            f'first {each["warm_up"]}',
            f'{each["highest_in_warm_up"] / 2**20:.0f} MiB',
            f'{each["highest_after"] / 2**20:.0f} MiB',
            f'{100 * growth(each):.1f} %',
        ]
        for each in record['outcomes']
    ]
    return markdown_table(headings, rows)


def growth(each: dict[str, Any]) -> float:
    """Return the growth of memory after the warm-up, as a fraction."""
    return float(each['highest_after'] / each['highest_in_warm_up'] - 1)


def _measure(name: str, repeat: Callable[[int, Path], list[int]], count: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with tempfile.TemporaryDirectory() as folder:
        return outcome(name, repeat(count, Path(folder)))


def main() -> None:
    """Repeat predictions and training steps, and write the record and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--dry-run', action='store_true', help='print the table only')
    arguments = parser.parse_args()
    jobs: list[tuple[str, Callable[[int, Path], list[int]], int]] = [
        (f'predictions, sides of {SIDES[0]} to {SIDES[1]} pixels', soak_predictions, PREDICTIONS),
        ('training steps, sides of 64 to 256 pixels', soak_training, STEPS),
    ]
    with (
        one_clear_error('development'),
        ProcessPoolExecutor(len(jobs), multiprocessing.get_context('spawn')) as pool,
    ):
        waiting = [pool.submit(_measure, *job) for job in jobs]
        record = {'command': COMMAND, 'outcomes': [each.result() for each in waiting]}
    print(soak_section(record))
    if not arguments.dry_run:
        write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: soak_section(record)})


if __name__ == '__main__':
    main()
