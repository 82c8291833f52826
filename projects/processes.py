"""Measurements side by side."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import torch

Result = TypeVar('Result')


def in_processes(
    measure: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[Result]:
    """Yield the result of each measurement when it is there.

    Args:
        measure: Function of a module, or a partial one.
        arguments: Arguments of each measurement.
        jobs: Processes, which share the cores; one measures in this process, in order.
    """
    if jobs == 1:
        for each in arguments:
            yield measure(*each)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(
        jobs, multiprocessing.get_context('spawn'), torch.set_num_threads, (threads,)
    ) as pool:
        waiting = [pool.submit(measure, *each) for each in arguments]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        finally:
            # Do not start further measurements after an error.
            pool.shutdown(cancel_futures=True)
