"""Segmentation masks: unreadable files, and values outside the classes."""

from collections.abc import Iterator
from typing import Any

import mmcv
import numpy as np
from mmengine import fileio

from mmvmlp.config.check.data_sets import records, setting_of_folder
from mmvmlp.config.check.finding import Finding, shown


def mask_values(name: str, dataset: Any, most: int | None) -> Iterator[Finding]:
    """Compare the values in segmentation masks with the classes.

    Args:
        name: Name of the data set in messages.
        dataset: A data set that reads files.
        most: Maximum number of masks to decode; None for all.
    """
    if not hasattr(dataset, 'reduce_zero_label'):
        return
    values: set[int] = set()
    unreadable = []
    for record in records(dataset, most):
        path = record.get('seg_map_path')
        if not path:
            continue
        try:
            contents = fileio.get(path, backend_args=dataset.backend_args)
            mask = mmcv.imfrombytes(contents, flag='unchanged', backend='pillow')
            values |= set(np.unique(mask).tolist())
        except Exception as error:
            # File backends and Pillow raise various errors.
            unreadable.append(f'{path} ({type(error).__name__})')
    if unreadable:
        yield Finding(
            True,
            f'{name}: masks cannot be read: {shown(unreadable)}, with '
            f'{setting_of_folder(dataset, "seg_map_path")} and '
            f'seg_map_suffix={dataset.seg_map_suffix!r}',
            'a mask for each image, with the same name except for seg_map_suffix',
        )
        return
    first = 1 if dataset.reduce_zero_label else 0
    last = first + len(dataset.metainfo['classes']) - 1
    wrong = sorted(values - set(range(first, last + 1)) - {0, dataset.ignore_index})
    setting = f'reduce_zero_label={dataset.reduce_zero_label}'
    if wrong and wrong == [last + 1] and not dataset.reduce_zero_label:
        yield Finding(
            True,
            f'{name}: masks have the values 0 to {wrong[0]}, one more than the number of classes, '
            f'with {setting}',
            'reduce_zero_label=True if 0 is not a class, or one more class',
        )
    elif wrong:
        yield Finding(
            True,
            f'{name}: masks have the values {shown(wrong)}, but with {setting} the '
            f'{last - first + 1} classes are {first} to {last}',
            f'masks with {first} to {last}, and {dataset.ignore_index} for pixels without a class',
        )
    elif dataset.reduce_zero_label and values - {dataset.ignore_index} == set(range(last)):
        yield Finding(
            False,
            f'{name}: masks have the values 0 to {last - 1}, as if 0 were a class, but with '
            f'{setting} the classes are 1 to {last}',
            'reduce_zero_label=False if 0 is a class',
        )
