"""Files that a run needs, looked for before anything is built."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

SPLITS = ('train', 'val', 'test')


def check_checkpoint_exists(checkpoint: str | Path) -> None:
    """Look for a checkpoint file; addresses are left to those who read them.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {str(checkpoint)!r}: there is no such file')


def check_checkpoints(config: Config) -> None:
    """Look for the checkpoints that a training starts from.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    weights_of_backbone = (config.model.get('backbone') or {}).get('init_cfg') or {}
    for settings, name in ((config, 'load_from'), (weights_of_backbone, 'checkpoint')):
        checkpoint = settings.get(name) if isinstance(settings, (Config, dict)) else None
        if checkpoint:
            check_checkpoint_exists(checkpoint)


def check_data(config: Config, splits: tuple[str, ...] = SPLITS) -> None:
    """Look for the files that the data sets and evaluators of a config will open first.

    Args:
        config: The config of the run.
        splits: The parts of the run: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: With the folder, the layout that is expected and the option that
            changes it, if an annotation file or an image folder is missing.
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
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            folder = f'data set folder {root!r}' if root else 'data set'
            state = '' if not root or os.path.isdir(root) else ' does not exist;'
            raise FileNotFoundError(
                f'{folder}:{state} missing are\n'
                + ''.join(f'  {path}\n' for path in missing)
                + 'Expected are\n'
                + ''.join(f'  {path}\n' for path in paths)
                + 'Give the folder that holds them with --data-root DIR, or make a small data set '
                'with tools/make_digits.py.'
            )


def annotations_of_evaluators(config: Config, split: str) -> dict[str, str]:
    """Find the annotation files that a split is evaluated with.

    Args:
        config: The config of the run.
        split: ``'val'`` or ``'test'``; others have no evaluator.

    Returns:
        For each evaluator that has a file of its own, the setting's name and the path.
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
    """Find the data sets in a data loader's config, also inside wrappers such as RepeatDataset."""
    if isinstance(value, dict):
        if 'ann_file' in value or 'data_prefix' in value or 'data_root' in value:
            yield value
        for key in ('dataset', 'datasets'):
            yield from _datasets(value.get(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _datasets(item)


def _first_paths(dataset: Mapping[str, Any]) -> list[str]:
    root = dataset.get('data_root') or ''
    prefix = dataset.get('data_prefix') or ''
    folders = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    relative = [dataset.get('ann_file') or '', *folders]
    paths = [os.path.join(root, path) for path in relative if isinstance(path, str) and path]
    return [path for path in paths or [root] if path and '://' not in path]
