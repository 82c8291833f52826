"""Read the config of a published model without running it."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import mmengine.registry
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
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(
            f'config {str(file)!r} is not a list of values, which alone is read: {error}'
        ) from error
    config = {key: values[key] for key in KEPT if key in values}
    if not isinstance(config.get('model'), dict):
        raise ValueError(f'config {str(file)!r} has no model')
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    # Class names come with the weights.
    dataset.pop('metainfo', None)
    scopes = {'default_scope': config.get('default_scope') or 'mmengine'}
    for key, name in (*scopes.items(), *_named(config, '_scope_')):
        if name not in SCOPES:
            raise ValueError(f'config {str(file)!r}: {key}={name!r} is none of {", ".join(SCOPES)}')
    for key in LOADING_KEYS:
        if loading := [value for _, value in _named(config, key) if value]:
            raise ValueError(
                f'config {str(file)!r}: {key}={loading[0]!r} would load another model by its name'
            )
    init_default_scope(scopes['default_scope'])
    registered = _registered(scopes['default_scope'])
    for _, name in _named(config, 'type'):
        start, _, last = str(name).rpartition('.')
        if not isinstance(name, str) or last not in registered or start not in ('', *SCOPES):
            raise ValueError(
                f'config {str(file)!r}: type={name!r} is not registered by the installed packages'
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
            return {str(keyword.arg): _literal(keyword.value) for keyword in keywords}
        case ast.Dict(keys=keys, values=values):
            return {
                ast.literal_eval(key): _literal(value)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.List(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_literal(element) for element in elements)
    return ast.literal_eval(node)


def _named(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a key at any depth, with the key."""
    if isinstance(value, dict):
        if key in value:
            yield key, value[key]
        for item in value.values():
            yield from _named(item, key)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named(item, key)


def _registered(scope: str) -> set[str]:
    """Return the names of all registered types, after importing those of a toolbox."""
    names: set[str] = set()
    roots = [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]
    for root in roots:
        for registry in (root, *root.children.values()):
            if registry.scope in (scope, 'mmengine', 'mmvmlp'):
                registry.import_from_location()
            names.update(registry.module_dict)
    # mmdet's RoI extractors take the layers of mmcv, which are not registered.
    with suppress(ImportError):
        names.update(import_module('mmcv.ops').__all__)
    return names
