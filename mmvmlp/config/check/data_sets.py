"""Data sets inside their wrappers, their records, and evenly spread samples of them."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

FILES_LOOKED_FOR = 20_000
FILES_DECODED = 200


def base_settings(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Find the settings of the data sets inside wrappers such as RepeatDataset."""
    inner = settings.get('datasets') or settings.get('dataset')
    if inner is None:
        yield settings
    for item in inner if isinstance(inner, (list, tuple)) else [inner]:
        if isinstance(item, Mapping):
            yield from base_settings(item)


def base_datasets(dataset: Any) -> Iterator[Any]:
    """Find the data sets that read files, inside wrappers such as RepeatDataset."""
    inner = getattr(dataset, 'datasets', None) or getattr(dataset, 'dataset', None)
    if inner is None:
        yield dataset
        return
    for item in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from base_datasets(item)


def records(dataset: Any, most: int) -> Iterator[dict[str, Any]]:
    """Give what a data set knows of its images before it reads them.

    Args:
        dataset: A data set of mmengine; any other kind has no records.
        most: So many records at most, evenly spread.
    """
    if hasattr(dataset, 'get_data_info'):
        count = len(dataset)
        for index in np.linspace(0, count - 1, min(count, most)).astype(int).tolist():
            yield dataset.get_data_info(index)


def setting_of_folder(dataset: Any, key: str, folder: str | None = None) -> str:
    """Write a folder the way the config sets it.

    Args:
        dataset: Its ``data_root`` and ``data_prefix`` are joined, as mmengine does.
        key: The key in ``data_prefix``.
        folder: Another folder than the one that is set.
    """
    root = dataset.data_root or ''
    if folder is None:
        path = dataset.data_prefix[key].removeprefix(root)
    else:
        path = os.path.join(os.path.relpath(folder, root or '.'), '')
    return f'data_prefix=dict({key}={path!r})'
