"""Packages of extras, imported where they are used."""

from importlib import import_module
from typing import Any


def import_optional(name: str, extra: str) -> Any:
    """Import a package of an extra.

    Args:
        name: Name of the module.
        extra: Extra of ``pyproject.toml`` that installs it.

    Raises:
        ModuleNotFoundError: If it is not installed, with the command that installs it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition('.')[0]
        raise ModuleNotFoundError(
            f'{missing} is not installed; it comes with: pip install "mmvmlp[{extra}]"',
            name=error.name,
        ) from error
