"""Packages of the extra ``deploy``, imported where they are used."""

from importlib import import_module
from typing import Any


def import_for_deployment(name: str) -> Any:
    """Import a package of the extra ``deploy``.

    Raises:
        ModuleNotFoundError: If it is not installed, with the command that installs it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition('.')[0]
        raise ModuleNotFoundError(
            f'{missing} is not installed; it comes with: pip install "mmvmlp[deploy]"',
            name=error.name,
        ) from error
