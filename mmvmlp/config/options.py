"""Options for a config that would change nothing.

mmengine computes every setting when it reads the file. An option for a variable of the file comes
too late for what was computed from it, and a misspelt one is for nobody; both would be
accepted silently.
"""

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

READ_ELSEWHERE = (
    # By mmengine's runner, from the config that it is given.
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    # By the toolboxes' inferencers, and by the commands in tools/.
    'data_root',
    'test_pipeline',
    'tta_model',
    'tta_pipeline',
)
"""Settings that are read besides the arguments of a runner."""

SHOWN = 6


def check_options(config: Config, options: Mapping[str, Any]) -> None:
    """Look for options that no run would notice; warn of those that only a user's code may read.

    Args:
        config: As it was read, before the options are merged into it.
        options: As ``--cfg-options`` gives them, each with a key such as ``'model.neck.type'``.

    Raises:
        ValueError: If an option names nothing that the config or a run knows, or a variable from
            which the config computed other settings.
    """
    known = _read_by_runs(config)
    for key, value in options.items():
        name = key.partition('.')[0]
        if name in known:
            continue
        option = f'--cfg-options {key}={value}'
        if name not in config:
            close = get_close_matches(name, [*known, *config], 1)
            close += _settings_named(config, known, name)
            suggestion = f'; did you mean {" or ".join(close[:SHOWN])}?' if close else ''
            raise ValueError(
                f'{option}: neither the config {config.filename} nor a run knows {name!r}'
                f'{suggestion}'
            )
        if _is_used_in(config.text, name):
            places = ', '.join(_suggestions(config, known, key))
            raise ValueError(
                f'{option}: {name!r} is a variable of the config, which other settings were '
                'computed from when the file was read; set those instead'
                + (f'. The same value is in {places}' if places else '')
            )
        print_log(
            f'{option}: nothing in the config or in a run reads {name!r}; it is left to code of '
            'yours',
            logger='current',
            level=logging.WARNING,
        )


def _read_by_runs(config: Config) -> list[str]:
    runner_type = config.get('runner_type')
    runner = RUNNERS.get(runner_type) if isinstance(runner_type, str) else runner_type
    arguments = [
        name for kind in (Runner, runner or Runner) for name in inspect.signature(kind).parameters
    ]
    return list(dict.fromkeys([*arguments, *READ_ELSEWHERE]))


def _is_used_in(text: str, name: str) -> bool:
    """Tell whether a config's text computes something from a variable.

    An assignment, a keyword argument, a string and a comment are no use of it.
    """
    without_comments = re.sub(r'#.*', '', text)
    use = rf"""(?<![\w.'"/])(?:_base_\.)?{re.escape(name)}\b(?!\s*(=(?!=)|:))"""
    return re.search(use, without_comments) is not None


def _suggestions(config: Config, known: list[str], key: str) -> list[str]:
    """Find the settings that hold what a variable holds, those of its name first."""
    name, dot, rest = key.partition('.')
    places = [
        place
        for section in known
        if section in config
        for place in _places(config[section], config[name], section)
    ]
    places.sort(key=lambda place: place.rpartition('.')[2] != name)
    if config[name] in (None, True, False, ''):
        # Such values are everywhere.
        places = [place for place in places if place.rpartition('.')[2] == name]
    more = ['...'] if len(places) > SHOWN else []
    return [f'{place}{dot}{rest}' for place in places[:SHOWN]] + more


def _settings_named(config: Config, known: list[str], name: str) -> list[str]:
    """Find the settings of a run whose last part is a name, such as ``train_cfg.max_epochs``."""
    return [
        f'{section}.{name}'
        for section in known
        if isinstance(config.get(section), Mapping) and name in config[section]
    ]


def _places(value: Any, wanted: Any, path: str) -> Iterator[str]:
    if type(value) is type(wanted) and value == wanted:
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _places(item, wanted, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _places(item, wanted, f'{path}.{index}')
