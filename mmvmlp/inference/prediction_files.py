"""Predictions on image files, written in shards: a run that was killed goes on where it was."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mmvmlp.datasets.loading import max_pixels
from mmvmlp.inference.chunks import (
    BATCHES_IN_CHUNK,
    Chunk,
    ChunkPredictor,
    ImageLoader,
    Result,
    predict_chunks,
)
from mmvmlp.inference.formats import FORMATS, CocoFormat, PredictionFormat, read_coco_ids
from mmvmlp.inference.predictors import Pipeline, Predictor
from mmvmlp.inference.shards import Shards, start_or_continue
from mmvmlp.inference.sources import ImageReference
from mmvmlp.inference.tiling import Tiling
from mmvmlp.optional_packages import import_optional

MAX_NAME = 200
"""Largest number of bytes of a drawing's name, without its suffix; file systems take 255."""

Results = Iterator[tuple[int, list[Result]]]


@dataclass(frozen=True)
class PredictionOptions:
    """How predictions are made and written.

    Attributes:
        format: One of :data:`~mmvmlp.inference.formats.FORMATS`.
        batch_size: Largest number of images of one size that the model takes together.
        workers: Number of threads that read and prepare images.
        shard_size: Number of images whose predictions are in one file.
        tiling: How images are tiled, if they are.
        annotations: File with the ids for COCO's results.
    """

    format: str = 'drawings'
    batch_size: int = 1
    workers: int = 1
    shard_size: int = 1000
    tiling: Tiling | None = None
    annotations: Path | None = None

    def check(self, task: str) -> None:
        """Check the options.

        Args:
            task: The model's task.

        Raises:
            ImportError: If a package is missing.
            ValueError: If one is not accepted, or of no use for the task.
        """
        max_pixels()
        if self.format not in FORMATS:
            raise ValueError(f'format={self.format!r}: accepted are {", ".join(FORMATS)}')
        for name in ('batch_size', 'workers', 'shard_size'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}={getattr(self, name)}: at least 1 is accepted')
        if task not in FORMATS[self.format].tasks:
            useful = [name for name, each in FORMATS.items() if task in each.tasks]
            raise ValueError(
                f'format={self.format!r} is of no use for {task}; accepted are {", ".join(useful)}'
            )
        if self.format == 'parquet':
            import_optional('pyarrow.parquet', 'storage')
        if self.tiling is not None:
            self.tiling.check()
            if task == 'classification':
                raise ValueError(
                    f'tile={self.tiling.size}: a classifier predicts one class for a whole image'
                )
        if self.annotations is not None and self.format != 'coco':
            raise ValueError(
                f'annotations={str(self.annotations)!r}: ids are for format coco, not {self.format}'
            )

    @property
    def chunk_size(self) -> int:
        """Number of images that are loaded together."""
        # A tiled image is large.
        return BATCHES_IN_CHUNK * self.batch_size if self.tiling is None else 1


@dataclass
class Summary:
    """Summary of a run.

    Attributes:
        files: The files with the predictions.
        predicted: Number of images that have predictions.
        failed: Number of images that have none.
    """

    files: list[Path]
    predicted: int = 0
    failed: int = 0


def predict_files(
    predictor: Predictor,
    references: Sequence[ImageReference],
    out_dir: Path,
    options: PredictionOptions = PredictionOptions(),  # noqa: B008
    **settings: Any,
) -> Summary:
    """Predict on images in this process, and write the predictions.

    Args:
        predictor: From :func:`~mmvmlp.inference.predictors.make_predictor`.
        references: The images; see :func:`write_predictions` for these and the following.
        out_dir: Where to write.
        options: How to predict and to write.
        **settings: Others of :func:`write_predictions`.
    """
    options.check(predictor.task)

    def run(chunks: Iterable[Chunk]) -> Results:
        return predict_chunks(
            image_loader(predictor.pipeline, options),
            chunk_predictor(predictor, options),
            chunks,
            options.workers,
        )

    return write_predictions(
        run, predictor.task, predictor.class_names, references, out_dir, options, **settings
    )


def image_loader(pipeline: Pipeline, options: PredictionOptions) -> ImageLoader:
    """Make what reads images for these options."""
    tiled = options.tiling is not None
    return ImageLoader(None if tiled else pipeline, tiled or FORMATS[options.format].draws)


def chunk_predictor(predictor: Predictor, options: PredictionOptions) -> ChunkPredictor:
    """Make what predicts with these options."""
    kind = FORMATS[options.format]
    return ChunkPredictor(
        predictor, options.batch_size, options.tiling, kind.draws, kind.writes_index_maps
    )


def write_predictions(
    run: Callable[[Iterable[Chunk]], Results],
    task: str,
    class_names: Sequence[str],
    references: Sequence[ImageReference],
    out_dir: Path,
    options: PredictionOptions,
    about: Mapping[str, Any] | None = None,
    depends_on: Mapping[str, Any] | None = None,
    progress: bool = True,
    report: Callable[[str], None] = print,
) -> Summary:
    """Write the predictions that a function makes, shard by shard.

    A shard is written as soon as all of its images are predicted; shards that are there already are
    left as they are. An image that cannot be read or predicted is reported and listed in its shard,
    and does not stop the others.

    Args:
        run: Predicts on chunks, in any order.
        task: The model's task.
        class_names: Its classes.
        references: From :func:`~mmvmlp.inference.sources.find_sources`.
        out_dir: Where to write; it is made.
        options: How to predict and to write.
        about: What the files are to say about the run.
        depends_on: What else predictions depend on: a run goes on only where a run of the same
            settings was.
        progress: Show a progress bar where there is a terminal to show it on.
        report: Takes a line about each image that has no predictions, or is damaged.

    Raises:
        NotADirectoryError: If there is a file where the folder should be.
        ValueError: If a drawing would replace one of the images, or the folder has predictions of
            other settings.
    """
    out_dir = Path(out_dir)
    writer = _make_format(task, class_names, references, options, about or {})
    shards = Shards(out_dir, references, options.shard_size, writer.suffix)
    _check_out_dir(out_dir, references, writer)
    settings = {
        **(about or {}),
        **(depends_on or {}),
        'task': task,
        'format': options.format,
        'shard_size': options.shard_size,
        'tile': list(options.tiling) if options.tiling else None,
        'annotations': str(options.annotations) if options.annotations else None,
    }
    start_or_continue(out_dir, settings, references)
    missing = shards.missing()
    there = sorted(set(range(shards.count)) - set(missing))
    summary = Summary([shards.file(shard) for shard in range(shards.count)])
    for shard in there:
        failures = writer.failures(shards.file(shard))
        for failure in failures:
            report(f'error: {failure["message"]}')
        summary.failed += len(failures)
        summary.predicted += shards.images_in(shard) - len(failures)
    with Progress(disable=not (progress and sys.stdout.isatty())) as bar:
        task_bar = bar.add_task(
            'Predicting',
            total=len(references),
            completed=sum(map(shards.images_in, there)),
        )
        waiting: dict[int, dict[int, Result]] = {shard: {} for shard in missing}
        for shard, results in run(shards.chunks(missing, options.chunk_size)):
            for result in results:
                # Once, should a cluster give results of a worker that died twice.
                if shard not in waiting or result.index in waiting[shard]:
                    continue
                waiting[shard][result.index] = result
                bar.advance(task_bar)
                if result.warning is not None:
                    report(f'warning: {result.warning}')
                if result.error is not None:
                    report(f'error: {result.error}')
                    summary.failed += 1
                else:
                    summary.predicted += 1
            if shard in waiting and len(waiting[shard]) == shards.images_in(shard):
                complete = waiting.pop(shard)
                writer.write([complete[index] for index in sorted(complete)], shards.file(shard))
    if left := shards.missing():
        raise RuntimeError(f'{len(left)} shards were not written, of {shards.count}')
    return summary


def _make_format(
    task: str,
    class_names: Sequence[str],
    references: Sequence[ImageReference],
    options: PredictionOptions,
    about: Mapping[str, Any],
) -> PredictionFormat:
    kind = FORMATS[options.format]
    has_files = kind.draws or kind.writes_index_maps
    names = drawing_names([reference.name for reference in references]) if has_files else ()
    if kind is CocoFormat and options.annotations is not None:
        paths = [reference.name for reference in references]
        ids = read_coco_ids(options.annotations, paths, class_names)
        return CocoFormat(task, class_names, about, names, ids)
    return kind(task, class_names, about, names)


def drawing_names(images: Sequence[str | Path]) -> list[str]:
    """Name a drawing for each image after it, without a suffix, no two alike.

    Images of one name are told apart by the folders they are in, as many as that takes, and by a
    number where that is not enough. Long names are cut.
    """
    parts = [_parts(str(file)) for file in images]
    depths = [1] * len(parts)
    while True:
        names = ['_'.join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        # Some file systems take no notice of capitals.
        counts = Counter(name.casefold() for name in names)
        deeper = [
            index
            for index, name in enumerate(names)
            if counts[name.casefold()] > 1 and depths[index] < len(parts[index])
        ]
        if not deeper:
            break
        for index in deeper:
            depths[index] += 1
    names = [_cut(name) for name in names]
    counts = Counter(name.casefold() for name in names)
    taken = {name for name, count in counts.items() if count == 1}
    numbers: Counter[str] = Counter()
    for index, name in enumerate(names):
        key = name.casefold()
        if counts[key] > 1:
            numbers[key] += 1
            while f'{key}_{numbers[key]}' in taken:
                numbers[key] += 1
            names[index] = f'{name}_{numbers[key]}'
            taken.add(names[index].casefold())
    return names


def _parts(name: str) -> tuple[str, ...]:
    scheme, separator, rest = name.partition('://')
    path = Path('/', rest) if separator else Path(os.path.abspath(name))
    return path.with_suffix('').parts[1:] or ('image',)


def _cut(name: str) -> str:
    while len(os.fsencode(name)) > MAX_NAME:
        name = name[:-1]
    return name


def _check_out_dir(
    out_dir: Path, references: Sequence[ImageReference], writer: PredictionFormat
) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise NotADirectoryError(f'out_dir={str(out_dir)!r} is a file, not a folder')
    outputs = {f'{name}{end}' for name in writer.names for end in ('.jpg', '.png')}
    real = os.path.realpath(out_dir)
    for reference in references:
        folder, name = os.path.split(reference.name)
        if name in outputs and not reference.table and os.path.realpath(folder) == real:
            raise ValueError(
                f'out_dir={str(out_dir)!r}: the drawing of {reference.name!r} would replace it; '
                'name another folder'
            )
