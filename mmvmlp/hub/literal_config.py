"""Read the config of a published model without running it."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry, init_default_scope

KEPT = ('default_scope', 'model', 'data_preprocessor', 'test_dataloader')
"""Variables of a config that a model needs for predicting."""

SCOPES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmvmlp')
"""Packages whose registered types a config may name."""

LOADING_KEYS = ('trust_remote_code', 'name_or_path', 'model_name', 'pretrained')
"""Arguments by which types of the toolboxes load models from elsewhere, with their code."""


def read_literal_config(file: Path) -> Config:
    """Read a config that mmengine wrote, as data: it holds values, and names registered types.

    A config is a program, and mmengine calls whatever a ``type`` names, ``os.system`` too. Here,
    nothing of the file runs, every type must be registered by an installed package, and none may
    load another model by its name.

    Args:
        file: Python file whose statements assign literals.

    Returns:
        Config with what a model needs for predicting.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else, or names a type that is not registered.
    """
    if not file.is_file():
        raise FileNotFoundError(f'config {str(file)!r} does not exist')
    try:
        statements = ast.parse(file.read_text(encoding='utf-8')).body
        values = dict(_assignment(statement) for statement in statements)
    except (SyntaxError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f'config {str(file)!r} is not a list of values, which alone is read: {error}'
        ) from error
    config = {key: values[key] for key in KEPT if key in values}
    if not isinstance(config.get('model'), dict):
        raise ValueError(f'config {str(file)!r} has no model')
    # Class names come with the weights; here, they might be the name of a file.
    for dataset in _named(config.get('test_dataloader'), 'dataset'):
        if isinstance(dataset, dict):
            dataset.pop('metainfo', None)
    for key in LOADING_KEYS:
        if loading := [value for value in _named(config, key) if value]:
            raise ValueError(
                f'config {str(file)!r}: {key}={loading[0]!r} would load another model by its name'
            )
    scope = config.get('default_scope') or 'mmengine'
    scopes = [scope, *_named(config, '_scope_')]
    types = [str(name).rpartition('.') for name in _named(config, 'type')]
    scopes += [start for start, point, _ in types if point]
    if unknown := [name for name in scopes if name not in SCOPES]:
        raise ValueError(
            f'config {str(file)!r}: scope {unknown[0]!r} is none of {", ".join(SCOPES)}'
        )
    init_default_scope(scope)
    registered = _registered({'mmengine', 'mmvmlp', *scopes})
    if unknown := [''.join(name) for name in types if name[2] not in registered]:
        raise ValueError(
            f'config {str(file)!r}: type={unknown[0]!r} is not registered by the installed packages'
        )
    return Config(ConfigDict(config))


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, _literal(value)
    raise ValueError(f'line {statement.lineno} is no assignment')


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=keywords):
            return {_given(word.arg): _literal(word.value) for word in keywords}
        case ast.Dict(keys=keys, values=values):
            return {
                ast.literal_eval(_given(key)): _literal(value)
                for key, value in zip(keys, values, strict=True)
            }
        case ast.List(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_literal(element) for element in elements)
    return ast.literal_eval(node)


def _given(key: Any) -> Any:
    """Return a key, which is missing where a mapping is unpacked."""
    if key is None:
        raise ValueError('a mapping is unpacked')
    return key


def _named(value: Any, key: str) -> Iterator[Any]:
    """Yield the values of a key at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for item in value.values():
            yield from _named(item, key)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named(item, key)


def _registered(scopes: Iterable[str]) -> set[str]:
    """Return the names of all types that packages register, after importing these."""
    names: set[str] = set()
    for scope in scopes:
        # mmcv registers its types with mmengine.
        module = import_module(f'{"mmengine" if scope == "mmcv" else scope}.registry')
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                registry.import_from_location()
                names.update(registry.module_dict)
    # mmdet's RoI extractors take the layers of mmcv, which are not registered.
    with suppress(ImportError):
        names.update(import_module('mmcv.ops').__all__)
    return names
