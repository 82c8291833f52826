"""Find config options that would have no effect.

mmengine computes settings when it reads the file. Overriding a variable afterwards does not change
the settings computed from it, and nothing reads a misspelt option; mmengine silently accepts both.
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
    # By mmengine's runner, from the config itself.
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    # By the toolboxes' inferencers and our commands.
    'data_root',
    'test_pipeline',
    'tta_model',
    'tta_pipeline',
)
"""Settings that are read in addition to the arguments of a runner."""

SHOWN = 6


def check_options(config: Config, options: Mapping[str, Any]) -> None:
    """Refuse options without effect; warn about those that only a user's code may read.

    Args:
        config: The config before the options are merged into it.
        options: Values by key, such as ``'model.neck.type'``, from ``--cfg-options``.

    Raises:
        ValueError: If an option is unknown to config and run, or is a variable from which other
            settings were computed.
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
                f'{option}: {name!r} is a variable from which other settings were computed when '
                'the config was read; set those instead'
                + (f'. The same value is in {places}' if places else '')
            )
        print_log(
            f'{option}: neither the config nor a run reads {name!r}; only your own code can',
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
    """Return True if a config's text computes something from a variable.

    Assignments, keyword arguments, strings and comments do not count.
    """
    without_comments = re.sub(r'#.*', '', text)
    use = rf"""(?<![\w.'"/])(?:_base_\.)?{re.escape(name)}\b(?!\s*(=(?!=)|:))"""
    return re.search(use, without_comments) is not None


def _suggestions(config: Config, known: list[str], key: str) -> list[str]:
    """Find settings with the value of a variable, those with its name first."""
    name, dot, rest = key.partition('.')
    places = [
        place
        for section in known
        if section in config
        for place in _places(config[section], config[name], section)
    ]
    places.sort(key=lambda place: place.rpartition('.')[2] != name)
    if config[name] in (None, True, False, ''):
        # These values are too common.
        places = [place for place in places if place.rpartition('.')[2] == name]
    more = ['...'] if len(places) > SHOWN else []
    return [f'{place}{dot}{rest}' for place in places[:SHOWN]] + more


def _settings_named(config: Config, known: list[str], name: str) -> list[str]:
    """Find the settings of a run that end in a name, such as ``train_cfg.max_epochs``."""
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
