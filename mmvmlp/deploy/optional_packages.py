"""Packages of the extra ``deploy``, imported where they are used."""

from functools import cache
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


@cache
def openvino_core() -> Any:
    """Return the ``openvino.Core`` of this process.

    A second one would be a risk: each gives its thread a signal stack and frees it when it goes, so
    that two that go in the order in which they came leave the thread with a freed stack, and the
    next signal, such as the end of a data loader's worker, ends the process.

    Raises:
        ModuleNotFoundError: If OpenVINO is not installed.
    """
    return import_for_deployment('openvino').Core()
