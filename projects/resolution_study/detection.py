"""AP of detectors with fixed-size networks at image sizes other than that of training.

Each config is trained and tested with the commands in ``tools/``; tests change only the image scale
and the backbone's image-size policy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.config.loading import load_config
from mmvmlp.output_files import write_atomically
from projects.records import Record, RecordFile
from projects.resolution_study.classification import FIELDS, POLICIES, SIZE_FREE

SIZES = (160, 224)
CONFIGS = 'configs/mask_rcnn_*_digits.py'
TRAINED_OTHERWISE = 'mask_rcnn_hire_mlp_nano_digits.py'
"""The detector in ``demo/``, which is trained for longer and on more scenes."""
METRICS = ('bbox_mAP', 'segm_mAP')


def detect(
    checkout: Path,
    out: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    sizes: Sequence[int] = SIZES,
    config_options: Sequence[str] = (),
    configs: str = CONFIGS,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> None:
    """Train each detector once per seed, and test it at every size with every policy.

    Args:
        checkout: Root of the repository; commands run in it, and relative paths start there.
        out: JSON file of the records. Recorded tests and finished trainings are skipped. Logs and
            checkpoints go into a folder next to it with the same name.
        seeds: Seeds of the trainings.
        sizes: Sides of the test images in pixels, to which the scenes are resized.
        config_options: ``KEY=VALUE`` for the ``--cfg-options`` of all trainings and tests.
        configs: Pattern of the configs in the checkout.
        jobs: Number of detectors in parallel, which share the cores.
        report: Called with a line for each test when its detector is done.

    Raises:
        FileNotFoundError: If no config matches.
        RuntimeError: If a command fails.
        ValueError: If an argument is not accepted, or `out` has records with other settings.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f'seeds {list(seeds)!r}: distinct integers of at least 0 are accepted')
    if not sizes or min(sizes) < 32:
        raise ValueError(f'sizes {list(sizes)!r}: numbers of at least 32 are accepted')
    if jobs < 1:
        raise ValueError(f'jobs={jobs!r}: a number above 0 is accepted')
    files = sorted(file for file in checkout.glob(configs) if file.name != TRAINED_OTHERWISE)
    if not files:
        raise FileNotFoundError(f'configs {configs!r}: no file matches in {checkout}')
    out = checkout / out
    file = RecordFile(out, {'config_options': list(config_options)}, FIELDS)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        measured = []
        for seed in seeds:
            for config_file in files:
                detector = _Detector(
                    checkout, config_file, seed, out.with_suffix(''), config_options, threads
                )
                missing = [
                    (policy, size)
                    for policy, size in detector.tests(sizes)
                    if not file.has(config=config_file.stem, seed=seed, policy=policy, size=size)
                ]
                if missing:
                    measured.append(pool.submit(detector.measure, missing))
        try:
            for finished in as_completed(measured):
                file.add(records := finished.result())
                for record in records:
                    report(', '.join(f'{name} {value}' for name, value in record.items()))
        finally:
            # Do not start further detectors after an error.
            pool.shutdown(cancel_futures=True)


class _Detector:
    """A config with a seed, trained before its first test."""

    def __init__(
        self,
        checkout: Path,
        config_file: Path,
        seed: int,
        folder: Path,
        config_options: Sequence[str],
        threads: int,
    ) -> None:
        self.environment = {'OMP_NUM_THREADS': str(threads), **os.environ}
        self.checkout = checkout
        self.config_file = config_file
        self.seed = seed
        self.folder = folder / f'{config_file.stem}_seed{seed}'
        self.config_options = config_options
        self.config = load_config(config_file)
        model = _build(self.config)
        self.backbone: VisionMLP = model.backbone
        self.network = type(model.backbone).__name__
        self.parameters = sum(p.numel() for p in model.parameters())
        pipeline = self.config.train_dataloader.dataset.pipeline
        self.trained_at: int = pipeline[_resize_step(self.config.train_dataloader)].scale[0]

    def tests(self, sizes: Sequence[int]) -> list[tuple[str, int]]:
        """Return the valid pairs of policy and size."""
        if self.backbone.size_free:
            return [(SIZE_FREE, size) for size in sizes]
        native = self.backbone.arch.image_size
        return [
            (policy, size)
            for size in sizes
            for policy in POLICIES
            if policy != 'native' or size == native
        ]

    def measure(self, tests: Sequence[tuple[str, int]]) -> list[Record]:
        """Train the detector unless done, and return a record for each test."""
        seconds = self._trained()
        return [
            {
                'config': self.config_file.stem,
                'network': self.network,
                'seed': self.seed,
                'policy': policy,
                'size': size,
                **self._tested(policy, size),
                'trained_at': self.trained_at,
                'seconds_train': seconds,
                'parameters': self.parameters,
            }
            for policy, size in tests
        ]

    def _tested(self, policy: str, size: int) -> dict[str, float]:
        checkpoint = self.folder / Path((self.folder / 'last_checkpoint').read_text()).name
        folder = self.folder / f'{policy}_{size}'
        results = folder / 'metrics.json'
        resize = _resize_step(self.config.test_dataloader)
        options = [f'test_dataloader.dataset.pipeline.{resize}.scale=({size},{size})']
        if policy != SIZE_FREE:
            options.append(f'model.backbone.resolution={policy}')
        self._run('tools/test.py', checkpoint, '--out', results, folder=folder, options=options)
        measured = json.loads(results.read_text())
        return {name: round(measured[f'coco/{name}'], 4) for name in METRICS}

    def _trained(self) -> float:
        """Train the detector unless done, and return the seconds of training."""
        finished = self.folder / 'training.json'
        settings = {'config_options': list(self.config_options), 'seed': self.seed}
        if finished.exists():
            done = json.loads(finished.read_text())
            if settings.items() <= done.items():
                return float(done['seconds'])
            finished.unlink()
        start = time.monotonic()
        self._run('tools/train.py', folder=self.folder, options=[f'randomness.seed={self.seed}'])
        seconds = round(time.monotonic() - start, 1)
        write_atomically(finished, json.dumps({'seconds': seconds, **settings}).encode())
        return seconds

    def _run(self, tool: str, *arguments: str | Path, folder: Path, options: Sequence[str]) -> None:
        """Run a command, with its output in a file in its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / 'output.txt'
        command = [tool, self.config_file, *arguments, '--work-dir', folder]
        command += ['--cfg-options', *options, *self.config_options]
        with log.open('wb') as stream:
            status = subprocess.run(
                [sys.executable, *map(str, command)],
                cwd=self.checkout,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            ).returncode
        if status:
            raise RuntimeError(f'{tool} failed on {self.config_file.name}: see {log}')


def _resize_step(dataloader: Any) -> int:
    return next(i for i, step in enumerate(dataloader.dataset.pipeline) if step.type == 'Resize')


def _build(config: Config) -> Any:
    init_default_scope(config.default_scope)
    return MODELS.build(config.model)
