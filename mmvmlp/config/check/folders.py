"""Folders and file suffixes of data sets, compared with those on disk."""

import difflib
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from mmvmlp.config.check.data_sets import base_settings, setting_of_folder
from mmvmlp.config.check.finding import Finding, error_as_finding, shown

FILES_LISTED = 10_000
FOLDERS_LISTED = 200


def folders(config: Config, splits: Sequence[str]) -> Iterator[Finding]:
    """Check the folders of data sets before annotations are read.

    Args:
        config: The config of the run.
        splits: Splits with data: ``'train'``, ``'val'``, ``'test'``.
    """
    datasets: list[tuple[str, Any]] = []
    for split in splits:
        for base in base_settings(config[f'{split}_dataloader'].get('dataset') or {}):
            # Errors are reported when it is built again, as in the run.
            with error_as_finding([], '', ''):
                dataset = DATASETS.build({**base, 'lazy_init': True, 'pipeline': []})
                name = f'{split}_dataloader.dataset ({type(dataset).__name__})'
                if isinstance(dataset.data_prefix, Mapping):
                    datasets.append((name, dataset))
    used = [os.path.normpath(os.path.dirname(dataset.ann_file or '')) for _, dataset in datasets]
    used += [folder for _, dataset in datasets for _, folder in _prefixes(dataset)]
    for name, dataset in datasets:
        if os.path.isdir(dataset.data_root or '.'):
            for key, folder in _prefixes(dataset):
                if os.path.isdir(folder):
                    yield from _file_endings(name, dataset, key, folder)
                else:
                    yield _absent_folder(name, dataset, key, used)


def _prefixes(dataset: Any) -> list[tuple[str, str]]:
    return [
        (key, os.path.normpath(folder))
        for key, folder in dataset.data_prefix.items()
        if isinstance(folder, str) and folder and '://' not in folder
    ]


def _absent_folder(name: str, dataset: Any, key: str, used: Sequence[str]) -> Finding:
    root = dataset.data_root or '.'
    folder = dataset.data_prefix[key]
    subfolders_of_root = subfolders(root)
    free = [other for other in subfolders_of_root if other not in used]
    closest = difflib.get_close_matches(folder, free, n=1, cutoff=0.0)
    relative = [os.path.relpath(other, root) for other in subfolders_of_root]
    return Finding(
        True,
        f'{name} has {setting_of_folder(dataset, key)}, but {folder!r} does not exist; the folders '
        f'in {root!r} are {shown(relative) or "none"}',
        setting_of_folder(dataset, key, closest[0])
        if closest
        else 'set the folder with --data-root',
    )


def _file_endings(name: str, dataset: Any, key: str, folder: str) -> Iterator[Finding]:
    ending = {'img_path': 'img_suffix', 'seg_map_path': 'seg_map_suffix'}.get(key, '')
    suffix = getattr(dataset, ending, None)
    if isinstance(suffix, str) and not any(file.endswith(suffix) for file in files(folder)):
        endings = endings_in(folder)
        yield Finding(
            True,
            f'{name} has {setting_of_folder(dataset, key)} and {ending}={suffix!r}, but no file in '
            f'{folder!r} has this suffix; it has {_counted(endings)}',
            f'{ending}={endings.most_common(1)[0][0]!r}'
            if endings
            else setting_of_folder(dataset, key) + ' with the folder of the files',
        )


def files(folder: str) -> Iterator[str]:
    """Yield files in a folder and its subfolders, up to a limit."""
    every = (file for _, _, names in os.walk(folder) for file in names)
    return itertools.islice(every, FILES_LISTED)


def endings_in(folder: str) -> Counter[str]:
    """Count the file suffixes in a folder and its subfolders."""
    return Counter(os.path.splitext(file)[1] for file in files(folder))


def subfolders(folder: str) -> list[str]:
    """List the subfolders of a folder at any depth, up to a limit."""
    every = (
        os.path.normpath(os.path.join(parent, name))
        for parent, names, _ in os.walk(folder)
        for name in sorted(names)
    )
    return list(itertools.islice(every, FOLDERS_LISTED))


def _counted(endings: Counter[str]) -> str:
    if not endings:
        return 'no files'
    return shown([f'{count} *{ending}' for ending, count in endings.most_common()])
