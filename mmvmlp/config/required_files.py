"""Check that the files of a run exist before anything is built."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine import fileio
from mmengine.config import Config

from mmvmlp.checkpoints import checkpoint_file
from mmvmlp.datasets.object_store import is_in_object_store

SPLITS = ('train', 'val', 'test')


def check_checkpoint_exists(checkpoint: str | Path) -> None:
    """Check that a checkpoint file exists, here or in an object store; URLs are not checked.

    Raises:
        FileNotFoundError: If it does not exist.
        ObjectStoreError: If the object store does not answer.
    """
    if _can_be_checked(checkpoint) and not fileio.isfile(checkpoint):
        raise FileNotFoundError(f'checkpoint {str(checkpoint)!r} does not exist')


def check_checkpoints(config: Config) -> None:
    """Check that the checkpoints from which training starts exist.

    Published weights of the backbone are downloaded.

    Raises:
        FileNotFoundError: If one does not exist.
        CheckpointError: If published weights cannot be downloaded.
        ValueError: If those of the backbone are in an object store.
    """
    if config.get('load_from'):
        check_checkpoint_exists(config.load_from)
    init_cfg = (config.model.get('backbone') or {}).get('init_cfg') or {}
    if isinstance(init_cfg, dict) and init_cfg.get('checkpoint'):
        if is_in_object_store(init_cfg['checkpoint']):
            raise ValueError(
                f'backbone checkpoint {init_cfg["checkpoint"]!r}: a file, a URL or the name of '
                'published weights is accepted; download it first'
            )
        checkpoint_file(init_cfg['checkpoint'])


def named_checkpoints(value: Any) -> Iterator[str]:
    """Yield the checkpoints that a config names: to start from, of modules and of teachers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ('load_from', 'checkpoint') and isinstance(item, str):
                yield item
            yield from named_checkpoints(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from named_checkpoints(item)


def check_data(config: Config, splits: tuple[str, ...] = SPLITS) -> None:
    """Check that the annotation files and image folders of a config exist.

    Args:
        config: The config of the run.
        splits: Splits of the run: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: If one is missing, with the folder, the expected layout, and the option
            that sets the folder.
        ObjectStoreError: If it is in an object store that does not answer.
    """
    expected: dict[str, list[str]] = {}
    for split in splits:
        root = ''
        for dataset in _datasets(config.get(f'{split}_dataloader') or {}):
            root = dataset.get('data_root') or ''
            expected.setdefault(root, []).extend(_first_paths(dataset))
        evaluated = annotations_of_evaluators(config, split).values()
        expected.setdefault(root, []).extend(path for path in evaluated if '://' not in path)
    for root, repeated in expected.items():
        paths = list(dict.fromkeys(repeated))
        missing = [path for path in paths if not fileio.exists(path)]
        if missing:
            folder = f'data set folder {root!r}' if root else 'data set'
            state = '' if not root or fileio.isdir(root) else ' does not exist;'
            raise FileNotFoundError(
                f'{folder}:{state} missing are\n'
                + ''.join(f'  {path}\n' for path in missing)
                + 'Expected are\n'
                + ''.join(f'  {path}\n' for path in paths)
                + 'Set their folder with --data-root DIR, or generate a small data set with '
                '`mmvmlp make-digits`.'
            )


def annotations_of_evaluators(config: Config, split: str) -> dict[str, str]:
    """Find the annotation files of the evaluators of a split.

    Args:
        config: The config of the run.
        split: ``'val'`` or ``'test'``; others have no evaluator.

    Returns:
        Paths by the name of the setting, for evaluators with their own file.
    """
    name = f'{split}_evaluator'
    evaluators: Any = config.get(name) or []
    named: dict[str, Any] = {name: evaluators}
    if isinstance(evaluators, (list, tuple)):
        named = {f'{name}.{index}': evaluator for index, evaluator in enumerate(evaluators)}
    return {
        f'{setting}.ann_file': evaluator['ann_file']
        for setting, evaluator in named.items()
        if evaluator.get('ann_file')
    }


def _datasets(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the data sets in a data loader's config, also inside wrappers like RepeatDataset."""
    if isinstance(value, dict):
        if 'ann_file' in value or 'data_prefix' in value or 'data_root' in value:
            yield value
        for key in ('dataset', 'datasets'):
            yield from _datasets(value.get(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _datasets(item)


def _first_paths(dataset: Mapping[str, Any]) -> list[str]:
    if dataset.get('backend_args'):
        # Its storage may have settings of its own.
        return []
    root = dataset.get('data_root') or ''
    prefix = dataset.get('data_prefix') or ''
    folders = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    relative = [dataset.get('ann_file') or '', *folders]
    paths = [os.path.join(root, path) for path in relative if isinstance(path, str) and path]
    return [path for path in paths or [root] if path and _can_be_checked(path)]


def _can_be_checked(path: str | Path) -> bool:
    return '://' not in str(path) or is_in_object_store(path)
