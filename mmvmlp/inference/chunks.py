"""Prediction on a few consecutive images at a time: read and prepare them, predict in batches.

Chunks are the same however they are spread over threads, processes and machines, so that results
are too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import cv2

from mmvmlp.datasets.loading import ImageReadError, decode_image
from mmvmlp.inference.predictors import Pipeline, Predictor, Sample
from mmvmlp.inference.sources import ImageReference, read_contents
from mmvmlp.inference.tiling import Tiling
from mmvmlp.visualization.drawing import ImageArray, encode_image

BATCHES_IN_CHUNK = 4
"""Number of batches' images among which those of one size are looked for."""

PIPELINE_ERRORS = (cv2.error, ValueError, AssertionError, ArithmeticError)
"""Errors of the toolboxes' transforms for images that they cannot take, such as very thin ones."""


class Chunk(NamedTuple):
    """Consecutive images of one shard.

    Attributes:
        shard: Number of the shard.
        first: Place of the first image among all.
        references: The images.
    """

    shard: int
    first: int
    references: tuple[ImageReference, ...]


@dataclass
class LoadedImage:
    """An image that was read.

    Attributes:
        path: Its name.
        shape: Of its array.
        image: The array, in BGR, if it is still needed.
        sample: The image as the model takes it, unless it is to be tiled.
        warning: What is wrong with the file, although it was decoded.
        error: Why it could not be read or prepared.
    """

    path: str
    shape: tuple[int, ...] = (0, 0)
    image: ImageArray | None = None
    sample: Sample | None = None
    warning: str | None = None
    error: str | None = None


@dataclass
class Result:
    """What is written of an image.

    Attributes:
        index: Its place among all images.
        path: Its name.
        record: Size and predictions; empty if there are none.
        files: Contents of its own files by suffix, such as the drawing's.
        warning: See :class:`LoadedImage`.
        error: Why there are no predictions.
    """

    index: int
    path: str
    record: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    warning: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class ImageLoader:
    """Reads an image and prepares it.

    Attributes:
        pipeline: From :func:`~mmvmlp.inference.predictors.make_pipeline`; None if images are to be
            tiled first.
        keeps_image: Whether the image itself is needed later.
    """

    pipeline: Pipeline | None
    keeps_image: bool

    def __call__(self, reference: ImageReference) -> LoadedImage:
        loaded = LoadedImage(reference.name)
        try:
            image, loaded.warning = decode_image(read_contents(reference), reference.name)
            loaded.shape = image.shape
            if self.pipeline is not None:
                loaded.sample = self.pipeline(image)
            if self.keeps_image:
                loaded.image = image
        except ImageReadError as error:
            loaded.error = str(error)
        except PIPELINE_ERRORS as error:
            loaded.error = _unpredictable(loaded, error)
        return loaded


@dataclass(frozen=True)
class ChunkPredictor:
    """Predicts on the images of a chunk.

    Attributes:
        predictor: The trained model.
        batch_size: Largest number of images that the model takes together.
        tiling: How images are tiled, if they are.
        draws: Whether a drawing is made of each image.
        writes_index_maps: Whether a segmentor's index maps are.
    """

    predictor: Predictor
    batch_size: int = 1
    tiling: Tiling | None = None
    draws: bool = True
    writes_index_maps: bool = True

    def __call__(self, first: int, loaded: Sequence[LoadedImage]) -> list[Result]:
        """Predict.

        Args:
            first: Place of the first image among all.
            loaded: The images.
        """
        whole = [index for index, each in enumerate(loaded) if each.sample is not None]
        predicted: dict[int, Any] = dict(
            zip(whole, self._predict([loaded[index].sample for index in whole]), strict=True)
        )
        results = []
        for index, each in enumerate(loaded):
            result = Result(first + index, each.path, warning=each.warning, error=each.error)
            outcome = predicted.get(index)
            if each.error is None and each.sample is None:
                outcome = self._predict_tiles(each)
            if isinstance(outcome, Exception):
                result.error = _unpredictable(each, outcome)
            elif each.error is None:
                self._fill(result, each, outcome)
            results.append(result)
        return results

    def _predict(self, samples: Sequence[Any]) -> list[Any]:
        """Predict on samples in batches of one size; an error stands in the place of its images."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, sample in enumerate(samples):
            groups.setdefault(tuple(sample['inputs'].shape), []).append(index)
        outcomes: list[Any] = [None] * len(samples)
        for group in groups.values():
            for start in range(0, len(group), self.batch_size):
                batch = group[start : start + self.batch_size]
                try:
                    predicted = self.predictor.predict([samples[index] for index in batch])
                except ValueError as error:
                    # The network does not take this size.
                    predicted = [error] * len(batch)
                for index, outcome in zip(batch, predicted, strict=True):
                    outcomes[index] = outcome
        return outcomes

    def _predict_tiles(self, loaded: LoadedImage) -> Any:
        assert self.tiling is not None
        assert loaded.image is not None
        tiles = self.tiling.tiles(loaded.shape)
        parts: list[Any] = []
        waiting = iter(tiles)
        while some := list(islice(waiting, self.batch_size)):
            try:
                parts += self._predict(
                    [
                        self.predictor.pipeline(
                            loaded.image[tile.top : tile.bottom, tile.left : tile.right]
                        )
                        for tile in some
                    ]
                )
            except PIPELINE_ERRORS as error:
                return error
        for part in parts:
            if isinstance(part, Exception):
                return part
        return self.predictor.merge(parts, self.tiling, loaded.shape)

    def _fill(self, result: Result, loaded: LoadedImage, outcome: Any) -> None:
        result.record = {
            'width': loaded.shape[1],
            'height': loaded.shape[0],
            **self.predictor.record(outcome),
        }
        index_map = self.predictor.index_map(outcome)
        if self.draws:
            assert loaded.image is not None
            result.files['.jpg'] = encode_image(self.predictor.draw(loaded.image, outcome), '.jpg')
        if self.writes_index_maps and index_map is not None:
            result.files['.png'] = encode_image(index_map, '.png')


def predict_chunks(
    load: Callable[[ImageReference], LoadedImage],
    predict: ChunkPredictor,
    chunks: Iterable[Chunk],
    workers: int,
) -> Iterator[tuple[int, list[Result]]]:
    """Predict in this process; the next chunk is loaded by threads meanwhile.

    Args:
        load: Reads and prepares an image.
        predict: Predicts.
        chunks: The images.
        workers: Number of threads.

    Yields:
        The number of a shard, and the results of one of its chunks.
    """
    with ThreadPoolExecutor(workers) as pool:
        loading: deque[tuple[Chunk, list[Any]]] = deque()
        try:
            for chunk in chunks:
                loading.append((chunk, [pool.submit(load, each) for each in chunk.references]))
                if len(loading) > 1:
                    yield _predicted(predict, *loading.popleft())
            while loading:
                yield _predicted(predict, *loading.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _predicted(
    predict: ChunkPredictor, chunk: Chunk, futures: list[Any]
) -> tuple[int, list[Result]]:
    return chunk.shard, predict(chunk.first, [future.result() for future in futures])


def _unpredictable(loaded: LoadedImage, error: Exception) -> str:
    reason = ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, cv2.error):
        reason = f"the test pipeline fails (OpenCV's {error.func}: {error.err})"
    height, width = loaded.shape[:2]
    size = f'{width} pixels wide and {height} high'
    return f'image {loaded.path!r}, {size}, cannot be predicted: {reason}'
