"""Kill short trainings of a detector and a classifier at random moments, for docs/long_runs.md.

Run as ``python -m development.kill_trainings``; it takes seven minutes on two cores, and writes
docs/killed_trainings.json and its table. On Linux only: trainings are forked, so that the
toolboxes are imported once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mmdet.apis  # noqa: F401
import mmpretrain.apis  # noqa: F401
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from development.generated_document import markdown_table, write_record
from mmvmlp.checkpoints import read_checkpoint
from mmvmlp.checkpoints.durable import newest_whole_checkpoint
from mmvmlp.cli import train
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.output_files import INCOMPLETE

ROOT = Path(__file__).resolve().parents[1]
RECORD = 'docs/killed_trainings.json'
DOCUMENT = 'docs/long_runs.md'
SECTION = 'killed trainings'
COMMAND = 'python -m development.kill_trainings'

NAME = 'iter_{}.pth'
STEPS = 'steps.txt'

CONFIGS = {
    'detector': """
_base_ = '{root}/configs/mask_rcnn_hire_mlp_nano_digits.py'
channels = [8, 12, 16, 20]
model = dict(
    backbone=dict(arch=dict(_delete_=True, depths=(1, 1, 1, 1), channels=channels)),
    neck=dict(in_channels=channels),
    # Large enough that its checkpoints take some time to write.
    roi_head=dict(bbox_head=dict(fc_out_channels=512)),
)
train_dataloader = dict(batch_size=2)
custom_hooks = [dict(type='EMAHook'), dict(type='StepRecordHook')]
""",
    'classifier': """
_base_ = '{root}/configs/classify_hire_mlp_t_digits.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, depths=(1, 1, 1, 1), channels=(32, 64, 128, 256))),
    head=dict(in_channels=256),
)
train_dataloader = dict(batch_size=2)
custom_hooks = [dict(type='EMAHook'), dict(type='StepRecordHook')]
""",
}
DATA: dict[str, dict[str, Any]] = {
    'detector': {'layout': 'coco', 'train': 6, 'val': 2, 'size': 64},
    'classifier': {'layout': 'imagenet', 'train': 10, 'val': 10, 'size': 32},
}
# A checkpoint after every step, so that many kills come while one is written.
OPTIONS = (
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=9',
    'default_hooks.checkpoint.by_epoch=False',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.checkpoint.max_keep_ckpts=1',
    'randomness.seed=0',
    'log_level=ERROR',
)


# A test runs this module after having imported it.
@HOOKS.register_module(force=True)
class StepRecordHook(Hook):
    """Appends the number of each finished step to a file in the work folder."""

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        with (Path(runner.work_dir) / STEPS).open('a') as stream:
            stream.write(f'{runner.iter + 1}\n')


@dataclass
class Outcome:
    """Outcome of the kills of one training.

    Attributes:
        trained: What was trained.
        kills: Number of kills.
        while_writing: Kills that left a half-written file.
        failed_resumes: Resumed trainings that ended with an error.
        most_lost: Most finished steps that were not in the newest whole checkpoint.
        finished: Trainings that reached their end.
        equal: Those whose weights, averaged weights and optimiser state equal those of the
            uninterrupted training.
    """

    trained: str
    kills: int = 0
    while_writing: int = 0
    failed_resumes: int = 0
    most_lost: int = 0
    finished: int = 0
    equal: int = 0


def start_training(config: Path, data: Path, work_dir: Path) -> int:
    """Fork a process that trains, or resumes, and return its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        # It is formatted for every checkpoint, which takes longer than a step.
        Config.pretty_text = ''
        log = os.open(work_dir.with_suffix('.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, sys.stdout.fileno())
        os.dup2(log, sys.stderr.fileno())
        sys.argv = ['train', str(config), '--work-dir', str(work_dir), '--data-root', str(data)]
        sys.argv += ['--resume', '--cfg-options', *OPTIONS]
        status = train.main()
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def kill_at_random(
    process: int, work_dir: Path, leftovers: set[Path], moments: random.Random
) -> bool:
    """Kill a training at a random moment, half of the times while it writes a checkpoint.

    Args:
        process: The training.
        work_dir: Its work folder.
        leftovers: Half-written files of earlier kills.
        moments: Source of the moment.

    Returns:
        Whether it was killed: it may have ended before.
    """
    steps, writing = _steps(work_dir) + moments.randint(0, 2), moments.random() < 0.5
    delay = 0.0 if writing else moments.uniform(0, 0.3)
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not os.waitid(os.P_PID, process, ended):
        if _steps(work_dir) >= steps and (not writing or _incomplete(work_dir) - leftovers):
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
            break
        time.sleep(0.0002)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def _incomplete(work_dir: Path) -> set[Path]:
    return set(work_dir.glob(INCOMPLETE))


def _steps(work_dir: Path) -> int:
    file = work_dir / STEPS
    return len(file.read_text().split()) if file.exists() else 0


def measure(trained: str, kills: int, folder: Path) -> Outcome:
    """Kill one kind of training until it was killed often enough, and compare each that ends."""
    data = make_digit_scenes(folder / trained, **DATA[trained], progress=False)
    config = folder / f'{trained}.py'
    config.write_text(CONFIGS[trained].format(root=ROOT))
    whole, killed = folder / f'{trained}_whole', folder / f'{trained}_killed'
    process = start_training(config, data, whole)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError(whole.with_suffix('.log').read_text()[-3000:])
    moments, outcome = random.Random(0), Outcome(trained)
    while outcome.kills < kills:
        killed.mkdir(exist_ok=True)
        leftovers = _incomplete(killed)
        process = start_training(config, data, killed)
        if kill_at_random(process, killed, leftovers, moments):
            outcome.kills += 1
            outcome.while_writing += bool(_incomplete(killed) - leftovers)
            newest = newest_whole_checkpoint(killed, NAME)[0]
            saved = int(newest.stem.rpartition('_')[2]) if newest else 0
            finished = (killed / STEPS).read_text().split() if _steps(killed) else ['0']
            outcome.most_lost = max(outcome.most_lost, int(finished[-1]) - saved)
        elif newest_whole_checkpoint(killed, NAME)[0] == killed / _newest_name(whole):
            outcome.finished += 1
            outcome.equal += _equal(whole, killed)
            shutil.rmtree(killed)
        else:
            outcome.failed_resumes += 1
            print(killed.with_suffix('.log').read_text()[-3000:])
            shutil.rmtree(killed)
        print(f'{trained}: {outcome.kills} kills', flush=True)
    return outcome


def _newest_name(work_dir: Path) -> str:
    newest = newest_whole_checkpoint(work_dir, NAME)[0]
    assert newest is not None
    return newest.name


def _equal(first: Path, second: Path) -> bool:
    one, other = (read_checkpoint(folder / _newest_name(first)) for folder in (first, second))
    return all(
        _all_equal(one[part], other[part]) for part in ('state_dict', 'ema_state_dict', 'optimizer')
    )


def _all_equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_all_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_all_equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def killed_section(record: dict[str, Any]) -> str:
    """Return a table of the outcomes."""
    headings = [
        *('trained', 'kills', 'while writing', 'resumes that failed', 'most steps lost'),
        *('trainings that ended', 'equal to the uninterrupted one'),
    ]
    rows = [[str(value) for value in outcome.values()] for outcome in record['outcomes']]
    return markdown_table(headings, rows)


def main() -> None:
    """Kill trainings, and write the record and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--kills', type=int, default=200, metavar='N', help='kills in total')
    parser.add_argument('--dry-run', action='store_true', help='print the table only')
    arguments = parser.parse_args()
    with one_clear_error('development'), tempfile.TemporaryDirectory() as folder:
        # Threads of this process do not reach its forks.
        torch.set_num_threads(1)
        kills = arguments.kills // len(CONFIGS)
        with ProcessPoolExecutor(len(CONFIGS), multiprocessing.get_context('fork')) as pool:
            waiting = [pool.submit(measure, trained, kills, Path(folder)) for trained in CONFIGS]
            outcomes = [asdict(each.result()) for each in waiting]
        record = {'command': COMMAND, 'outcomes': outcomes}
        print(killed_section(record))
        if not arguments.dry_run:
            write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: killed_section(record)})


if __name__ == '__main__':
    main()
