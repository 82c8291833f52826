"""Reading a config, options and data folder included."""

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
    """Read a config and merge options into it, as ``--cfg-options`` gives them.

    Args:
        path: A file, or one of this package's configs as ``mmvmlp::NAME.py``.
        options: An option ``data_root`` is more than its variable: see :func:`set_data_root`.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it cannot be read or has no model, or an option would change nothing.
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
            f'--cfg-options {given}: this does not fit into {path} ({error.args[0]})'
        ) from error
    if data_root is not None:
        set_data_root(config, data_root)
    return config


def _read_config(path: str | Path) -> Config:
    package, separator, name = str(path).partition('::')
    if separator and package == SCOPE:
        path = path_of_config(name)
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {str(path)!r}: there is no such file')
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
    """Point every data set and evaluator of a config to another folder.

    mmengine computes a config's paths when it reads the file, so a new value of the variable
    ``data_root`` alone would reach none of them.

    Args:
        config: Changed in place.
        data_root: The folder in which the config's relative paths are looked up.

    Raises:
        ValueError: If the config has no variable ``data_root`` to be replaced, or one of the two
            is empty.
    """
    if not str(data_root):
        raise ValueError("data_root='': the name of a folder is accepted")
    old = config.get('data_root')
    # Every path begins with an empty one.
    if not isinstance(old, str) or not old:
        raise ValueError(
            f'data_root={str(data_root)!r}: the config {config.filename} has no variable '
            'data_root that could be replaced; set the paths of its data sets with --cfg-options'
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
