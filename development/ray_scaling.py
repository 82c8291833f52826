"""Measure prediction on a Ray cluster with one worker and two, and kill one of them.

Run as ``python -m development.ray_scaling`` on a machine with two idle cores; it takes five
minutes, and writes docs/ray_scaling.json and its table.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from development.generated_document import markdown_table, write_record
from mmvmlp.checkpoints import read_checkpoint
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.inference.chunks import Chunk
from mmvmlp.inference.prediction_files import (
    PredictionOptions,
    Results,
    chunk_predictor,
    image_loader,
    write_predictions,
)
from mmvmlp.inference.predictors import Predictor, predictor_of
from mmvmlp.inference.ray_prediction import LOCAL, predict_on_ray, ray_cluster
from mmvmlp.inference.sources import ImageReference, find_sources

ROOT = Path(__file__).resolve().parents[1]
RECORD = 'docs/ray_scaling.json'
DOCUMENT = 'docs/predicting.md'
SECTION = 'ray scaling'
COMMAND = 'python -m development.ray_scaling'

CONFIG = 'configs/mask_rcnn_hire_mlp_nano_digits.py'
CHECKPOINT = 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors'

SIDE = 640
"""Side of the images for the model, so that it takes much longer than reading them."""

WARM_UP = 4
"""Number of chunks for each worker before time is taken."""

STRETCH = 16
"""Number of chunks over which time is taken: other work of the machine disturbs short ones less."""

OPTIONS = PredictionOptions(format='coco', shard_size=20)


def make_predictor(processes: Path) -> Predictor:
    """Make the predictor, and leave the number of this process in a folder."""
    config = load_config(ROOT / CONFIG)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (SIDE, SIDE)
    predictor = predictor_of(config, read_checkpoint(ROOT / CHECKPOINT), CHECKPOINT)
    (processes / str(os.getpid())).touch()
    return predictor


def _chunk_predictor(processes: Path) -> Any:
    return chunk_predictor(make_predictor(processes), OPTIONS)


def predict(
    references: list[ImageReference],
    folder: Path,
    workers: int,
    after_chunk: Callable[[int, int], None],
) -> dict[str, bytes]:
    """Predict in a cluster of its own.

    Args:
        references: The images.
        folder: Where to write.
        workers: Number of processes that predict.
        after_chunk: Called with the number of chunks that are done and the number of images.

    Returns:
        What was written, by name.
    """
    processes = folder.with_suffix('.processes')
    processes.mkdir()
    predictor = make_predictor(processes)
    (processes / str(os.getpid())).unlink()

    def run(chunks: Iterable[Chunk]) -> Results:
        done = 0
        load = image_loader(predictor.pipeline, OPTIONS)
        results = predict_on_ray(load, partial(_chunk_predictor, processes), chunks, workers)
        for number, (shard, found) in enumerate(results, 1):
            done += len(found)
            after_chunk(number, done)
            yield shard, found

    with ray_cluster(LOCAL, workers):
        write_predictions(
            run, predictor.task, predictor.class_names, references, folder, OPTIONS, progress=False
        )
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def measure(references: list[ImageReference], folder: Path, workers: int) -> tuple[float, Any]:
    """Return images per second, of the fastest stretch of a run, and what was written."""
    moments: list[tuple[float, int]] = []

    def take_time(chunk: int, done: int) -> None:
        if chunk >= WARM_UP * workers:
            moments.append((time.perf_counter(), done))

    written = predict(references, folder, workers, take_time)
    rates = [
        (done - before) / (end - start)
        for (start, before), (end, done) in zip(moments, moments[STRETCH:], strict=False)
    ]
    return max(rates), written


def kill(references: list[ImageReference], folder: Path) -> dict[str, bytes]:
    """Kill one of two workers in the middle, and return what was written."""

    def kill_one(chunk: int, done: int) -> None:
        if chunk == len(references) // OPTIONS.chunk_size // 2:
            processes = sorted(folder.with_suffix('.processes').iterdir())
            os.kill(int(processes[0].name), signal.SIGKILL)

    written = predict(references, folder, 2, kill_one)
    if len(list(folder.with_suffix('.processes').iterdir())) < 3:
        raise RuntimeError('no worker took the place of the killed one')
    return written


def scaling_section(record: dict[str, Any]) -> str:
    """Return a table of the measurements."""
    one, two = record['images_per_second']
    return markdown_table(
        ['workers', f'images per second, best of {record["repeats"]}', 'compared with one'],
        [['1', f'{one:.2f}', ''], ['2', f'{two:.2f}', f'{two / one:.2f}x']],
    ) + (
        f'\n\nWith one of two workers killed in the middle, {record["images"]} images of '
        f'{record["images"]} had their predictions once, the same as without.'
    )


def main() -> None:
    """Measure, kill, and write the record and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--images', type=int, default=160, metavar='N', help='number of images')
    parser.add_argument(
        '--repeats', type=int, default=3, metavar='N', help='measure N times and take the best'
    )
    parser.add_argument('--dry-run', action='store_true', help='print the table only')
    arguments = parser.parse_args()
    with one_clear_error('development'), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_digit_scenes(
            folder / 'data', 'coco', train=1, val=arguments.images, progress=False
        )
        references = find_sources([str(data / 'val2017')])
        written = [kill(references, folder / 'killed')]
        best = {1: 0.0, 2: 0.0}
        for repeat in range(arguments.repeats):
            # In turns, so that other work of the machine disturbs both alike.
            for workers in best:
                rate, files = measure(references, folder / f'{repeat}_{workers}', workers)
                best[workers] = max(best[workers], rate)
                written.append(files)
        if any(files != written[0] for files in written):
            raise RuntimeError('the files of the runs are not the same')
        record = {
            'command': COMMAND,
            'images': len(references),
            'repeats': arguments.repeats,
            'images_per_second': [round(rate, 3) for rate in best.values()],
        }
        print(scaling_section(record))
        if not arguments.dry_run:
            write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: scaling_section(record)})


if __name__ == '__main__':
    main()
