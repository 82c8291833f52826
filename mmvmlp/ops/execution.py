"""The way in which operators are executed, which decides on the faster of two equal forms."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_traced_for_runtimes = ContextVar('_traced_for_runtimes', default=False)


@contextmanager
def traced_for_runtimes() -> Iterator[None]:
    """Trace models for other runtimes, which have fewer operators than PyTorch."""
    token = _traced_for_runtimes.set(True)
    try:
        yield
    finally:
        _traced_for_runtimes.reset(token)


def is_traced_for_runtimes() -> bool:
    """Return True within :func:`traced_for_runtimes`."""
    return _traced_for_runtimes.get()


def runs_as_written(x: torch.Tensor) -> bool:
    """Return True if operators run one by one on a CPU, outside autograd.

    Then memory can be reused and a feature map be processed in tiles; elsewhere (compiled and
    exported graphs, GPUs) whole-map operators are better.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and x.device.type == 'cpu'
        and not (x.requires_grad and torch.is_grad_enabled())
    )
