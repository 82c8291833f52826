"""Prediction on a Ray cluster: tasks read images, a pool of actors predicts, the driver writes.

Ray runs again what a worker that died had not finished. As only the driver writes, and a shard only
when all of its images are there, each image has its predictions once.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mmvmlp.inference.chunks import Chunk, ChunkPredictor, ImageLoader, Result
from mmvmlp.inference.prediction_files import (
    PredictionOptions,
    Results,
    Summary,
    chunk_predictor,
    image_loader,
    write_predictions,
)
from mmvmlp.inference.predictors import Predictor
from mmvmlp.inference.sources import ImageReference
from mmvmlp.optional_packages import import_optional

LOCAL = 'local'
"""Address of a cluster of this machine only, which ends with the command."""

BLOCKS = 10_000
"""Largest number of tasks into which the reading of all images is divided."""

QUIET = {
    'RAY_USAGE_STATS_ENABLED': '0',
    'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0',
}


@contextmanager
def ray_cluster(address: str, actors: int) -> Iterator[None]:
    """Connect to a Ray cluster, or start one on this machine, and leave it at the end.

    Args:
        address: ``local``, ``auto``, or the address of a cluster.
        actors: Number of processes that predict.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If no cluster answers.
        ValueError: If there are no actors.
    """
    if actors < 1:
        raise ValueError(f'ray_actors={actors}: at least 1 is accepted')
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address == LOCAL:
        # A cluster of this process alone needs no token.
        os.environ.setdefault('RAY_AUTH_MODE', 'disabled')
        # It complains of how Ray Data itself starts actors.
        os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')
    ray = import_optional('ray', 'ray')
    if address not in (LOCAL, 'auto'):
        _check_connection(address)
    options: dict[str, Any] = {}
    if address == LOCAL:
        # One more than the actors need, so that something reads images.
        cores = max(os.cpu_count() or 1, actors + 1)
        options = {'num_cpus': cores, 'include_dashboard': False}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConnectionError(f'ray={address!r}: no cluster answers ({error})') from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_connection(address: str) -> None:
    """Check that something answers at an address; Ray itself tries for minutes."""
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if not host or not port.isdecimal():
        raise ValueError(f'ray={address!r}: local, auto and HOST:PORT are accepted')
    try:
        socket.create_connection((host.strip('[]'), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f'ray={address!r}: no cluster answers ({error})') from error


def predict_files_on_ray(
    make: Callable[..., Predictor],
    references: Sequence[ImageReference],
    out_dir: Path,
    options: PredictionOptions,
    *,
    address: str,
    actors: int = 1,
    device: str = 'cpu',
    **settings: Any,
) -> Summary:
    """Predict on images in a Ray cluster, and write what it predicts.

    Args:
        make: Makes the predictor, given its ``device``; it is called here, on the CPU, and in each
            actor.
        references: See :func:`~mmvmlp.inference.prediction_files.write_predictions`; paths must
            lead to the images on every machine.
        out_dir: See there.
        options: See there.
        address: See :func:`ray_cluster`.
        actors: Number of processes that predict.
        device: Of each.
        **settings: See there.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If no cluster answers.
        ValueError: If a setting is not accepted.
    """
    if device not in ('cpu', 'cuda'):
        raise ValueError(
            f"device={device!r}: with Ray, which gives out GPUs, it is 'cpu' or 'cuda'"
        )
    predictor = make(device='cpu')
    options.check(predictor.task)
    with ray_cluster(address, actors):

        def run(chunks: Iterable[Chunk]) -> Results:
            return predict_on_ray(
                image_loader(predictor.pipeline, options),
                partial(_make_predictor, make, device, options),
                chunks,
                actors,
                gpus=int(device.startswith('cuda')),
            )

        return write_predictions(
            run, predictor.task, predictor.class_names, references, out_dir, options, **settings
        )


def _make_predictor(
    make: Callable[..., Predictor], device: str, options: PredictionOptions
) -> ChunkPredictor:
    return chunk_predictor(make(device=device), options)


def predict_on_ray(
    load: ImageLoader,
    predict: Callable[[], ChunkPredictor],
    chunks: Iterable[Chunk],
    actors: int,
    gpus: int = 0,
) -> Iterator[tuple[int, list[Result]]]:
    """Predict in the cluster of :func:`ray_cluster`.

    Args:
        load: Reads and prepares an image.
        predict: Makes what predicts, in each actor.
        chunks: The images.
        actors: Number of processes that predict; each has a core.
        gpus: Number of GPUs of each.

    Yields:
        The number of a shard, and the results of one of its chunks, in any order.
    """
    import ray

    rows = [{'chunk': pickle.dumps(chunk)} for chunk in chunks]
    if not rows:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger('ray.data').setLevel(logging.ERROR)
    # Once for all processes: a model is large.
    loader, predictor = ray.put(load), ray.put(predict)
    results = (
        ray.data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS))
        .map_batches(
            _load_chunks,
            fn_args=(loader,),
            batch_size=1,
            batch_format='pyarrow',
            num_cpus=1,
            # Other arguments than the actors': Ray would read images in these.
            max_calls=10_000,
        )
        .map_batches(
            _PredictChunks,
            fn_constructor_args=(predictor,),
            batch_size=1,
            batch_format='pyarrow',
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=gpus,
        )
    )
    for batch in results.iter_batches(batch_size=1, batch_format='pyarrow', prefetch_batches=0):
        yield pickle.loads(batch.column('results')[0].as_py())


def _load_chunks(batch: Any, loader: Any) -> Any:
    load = _once(loader)
    loaded = []
    for contents in batch.column('chunk').to_pylist():
        chunk: Chunk = pickle.loads(contents)
        images = [load(reference) for reference in chunk.references]
        loaded.append(pickle.dumps((chunk.shard, chunk.first, images), pickle.HIGHEST_PROTOCOL))
    return _table('loaded', loaded)


class _PredictChunks:
    """Predicts on loaded chunks in an actor."""

    def __init__(self, predictor: Any) -> None:
        import ray

        self.predict = ray.get(predictor)()

    def __call__(self, batch: Any) -> Any:
        results = []
        for contents in batch.column('loaded').to_pylist():
            shard, first, images = pickle.loads(contents)
            results.append(pickle.dumps((shard, self.predict(first, images))))
        return _table('results', results)


@lru_cache(maxsize=1)
def _once(reference: Any) -> Any:
    """Take something from Ray's store, once in a process."""
    import ray

    return ray.get(reference)


def _table(column: str, contents: list[bytes]) -> Any:
    import pyarrow as pa

    # Not arrays of NumPy, which cut zeros at the end of bytes.
    return pa.table({column: pa.array(contents, pa.large_binary())})
