"""Load a config, with its options and data folder."""

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvmlp.config.options import check_options
from mmvmlp.config.required_files import SPLITS
from mmvmlp.openmmlab import SCOPE, path_of_config


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Load a config and merge options into it.

    Args:
        path: A file, or a config of this package as ``mmvmlp::NAME.py``.
        options: Values by key, from ``--cfg-options``; ``data_root`` is passed to
            :func:`set_data_root`.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If it cannot be read or has no model, or an option would have no effect.
    """
    config = _read_config(path)
    others = dict(options or {})
    data_root = others.pop('data_root', None)
    check_options(config, others)
    try:
        config.merge_from_dict(others)
    except (AttributeError, KeyError, TypeError) as error:
        given = ' '.join(f'{key}={value}' for key, value in others.items())
        raise ValueError(
            f'--cfg-options {given}: cannot be merged into {path} ({error.args[0]})'
        ) from error
    if data_root is not None:
        set_data_root(config, data_root)
    return config


def _read_config(path: str | Path) -> Config:
    package, separator, name = str(path).partition('::')
    if separator and package == SCOPE:
        path = path_of_config(name)
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {str(path)!r} does not exist')
    try:
        config = Config.fromfile(path)
    except Exception as error:
        # A config is a program, and may raise anything.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f'{last.filename}, line {last.lineno}: ' if last.name == '<module>' else ''
        raise ValueError(
            f'config {str(path)!r} cannot be read: {place}{type(error).__name__}: {error}'
        ) from error
    if not isinstance(config.get('model'), dict):
        raise ValueError(
            f'config {str(path)!r} has no model: a config of mmdet, mmsegmentation or mmpretrain '
            'is accepted'
        )
    return config


def set_data_root(config: Config, data_root: str | Path) -> None:
    """Point all data sets and evaluators of a config to another folder.

    mmengine computes paths when it reads the file, so changing the variable ``data_root``
    afterwards has no effect on them.

    Args:
        config: Changed in place.
        data_root: The new folder.

    Raises:
        ValueError: If the config has no variable ``data_root``, or either folder is empty.
    """
    if not str(data_root):
        raise ValueError("data_root='': a folder name is accepted")
    old = config.get('data_root')
    # Every path starts with an empty string.
    if not isinstance(old, str) or not old:
        raise ValueError(
            f'data_root={str(data_root)!r}: the config {config.filename} has no variable '
            'data_root to replace; set the paths of its data sets with --cfg-options'
        )
    new = os.path.join(data_root, '')
    for split in SPLITS:
        for part in (f'{split}_dataloader', f'{split}_evaluator'):
            if config.get(part):
                config[part] = _moved(config[part], os.path.join(old, ''), new)
    config['data_root'] = new


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _moved(item, old, new) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, old, new) for item in value)
    if isinstance(value, str) and os.path.join(value, '').startswith(old):
        return new + value[len(old) :]
    return value
