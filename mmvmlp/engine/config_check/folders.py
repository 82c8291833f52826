"""Folders and file name endings that a data set is told to look for, against what is there."""

import difflib
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import DATASETS

from mmvmlp.engine.config_check.data_sets import base_settings, setting_of_folder
from mmvmlp.engine.config_check.finding import Finding, error_as_finding, shown

FILES_LISTED = 10_000
FOLDERS_LISTED = 200


def folders(split: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Look into the folders of a split's data sets, before any annotation is read.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        settings: Those of the split's data set.
    """
    for base in base_settings(settings):
        dataset: Any = None
        # It is built again, as the run does, and errors are reported there.
        with error_as_finding([], '', ''):
            dataset = DATASETS.build({**base, 'lazy_init': True, 'pipeline': []})
        prefixes = getattr(dataset, 'data_prefix', None)
        if isinstance(prefixes, Mapping) and os.path.isdir(dataset.data_root or '.'):
            name = f'{split}_dataloader.dataset ({type(dataset).__name__})'
            for key, folder in prefixes.items():
                if isinstance(folder, str) and folder and '://' not in folder:
                    yield from _folder(name, dataset, key, folder)


def _folder(name: str, dataset: Any, key: str, folder: str) -> Iterator[Finding]:
    if not os.path.isdir(folder):
        others = subfolders(dataset.data_root or '.')
        closest = difflib.get_close_matches(folder, others, n=1, cutoff=0.0)
        relative = [os.path.relpath(other, dataset.data_root or '.') for other in others]
        yield Finding(
            True,
            f'{name} has {setting_of_folder(dataset, key)}, but {folder!r} does not exist; the '
            f'folders in {dataset.data_root!r} are {shown(relative) or "none"}',
            setting_of_folder(dataset, key, closest[0])
            if closest
            else 'name the folder: --data-root',
        )
        return
    ending = {'img_path': 'img_suffix', 'seg_map_path': 'seg_map_suffix'}.get(key, '')
    suffix = getattr(dataset, ending, None)
    if isinstance(suffix, str) and not any(file.endswith(suffix) for file in files(folder)):
        endings = endings_in(folder)
        yield Finding(
            True,
            f'{name} has {setting_of_folder(dataset, key)} and {ending}={suffix!r}, but no file in '
            f'{folder!r} ends so; there {_counted(endings)}',
            f'{ending}={endings.most_common(1)[0][0]!r}'
            if endings
            else setting_of_folder(dataset, key) + ' with the folder that has the files',
        )


def files(folder: str) -> Iterator[str]:
    """List files in a folder and below it, the first ones if there are many."""
    every = (file for _, _, names in os.walk(folder) for file in names)
    return itertools.islice(every, FILES_LISTED)


def endings_in(folder: str) -> Counter[str]:
    """Count the file name endings in a folder and below it."""
    return Counter(os.path.splitext(file)[1] for file in files(folder))


def subfolders(folder: str) -> list[str]:
    """List the folders below a folder, the first ones if there are many."""
    every = (
        os.path.join(parent, name) for parent, names, _ in os.walk(folder) for name in sorted(names)
    )
    return list(itertools.islice(every, FOLDERS_LISTED))


def _counted(endings: Counter[str]) -> str:
    if not endings:
        return 'is no file'
    named = [f'{count} *{ending}' for ending, count in endings.most_common()]
    return f'{"is" if endings.total() == 1 else "are"} {shown(named)}'
