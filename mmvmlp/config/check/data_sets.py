"""Data sets inside wrappers, and evenly spaced samples of their records."""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.progress import track

FILES_CHECKED = 20_000
FILES_DECODED = 1000


def base_settings(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the settings of data sets, unwrapped from wrappers such as RepeatDataset."""
    inner = settings.get('datasets') or settings.get('dataset')
    if inner is None:
        yield settings
    for item in inner if isinstance(inner, (list, tuple)) else [inner]:
        if isinstance(item, Mapping):
            yield from base_settings(item)


def base_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the data sets that read files, unwrapped from wrappers such as RepeatDataset."""
    inner = getattr(dataset, 'datasets', None) or getattr(dataset, 'dataset', None)
    if inner is None:
        yield dataset
        return
    for item in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from base_datasets(item)


def records(dataset: Any, most: int | None) -> Iterator[dict[str, Any]]:
    """Yield the records of a data set, without reading its images; show progress on a terminal.

    Args:
        dataset: A data set of mmengine; others yield nothing.
        most: Maximum number of records, which are evenly spaced; None for all.
    """
    if hasattr(dataset, 'get_data_info'):
        count = len(dataset)
        indices = np.linspace(0, count - 1, min(count, most or count)).astype(int).tolist()
        at_terminal = sys.stdout.isatty()
        for index in track(indices, 'looking at files', transient=True, disable=not at_terminal):
            yield dataset.get_data_info(index)


def setting_of_folder(dataset: Any, key: str, folder: str | None = None) -> str:
    """Format a folder as the config sets it.

    Args:
        dataset: A data set, whose ``data_prefix`` mmengine has joined to its ``data_root``.
        key: Key in ``data_prefix``.
        folder: A folder to format instead of the one that is set.
    """
    root = dataset.data_root or ''
    if folder is None:
        path = dataset.data_prefix[key].removeprefix(root)
    else:
        path = os.path.join(os.path.relpath(folder, root or '.'), '')
    return f'data_prefix=dict({key}={path!r})'
