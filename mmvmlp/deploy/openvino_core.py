"""The one ``openvino.Core`` of a process."""

from functools import cache
from typing import Any

from mmvmlp.optional_packages import import_optional


@cache
def openvino_core() -> Any:
    """Return the ``openvino.Core`` of this process.

    A second one would be a risk: each gives its thread a signal stack and frees it when it goes, so
    that two that go in the order in which they came leave the thread with a freed stack, and the
    next signal, such as the end of a data loader's worker, ends the process.

    Raises:
        ModuleNotFoundError: If OpenVINO is not installed.
    """
    return import_optional('openvino', 'deploy').Core()
