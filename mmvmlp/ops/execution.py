"""The way in which operators are executed, which decides on the faster of two equal forms."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Not a context variable, which torch.compile cannot read.
_traced_for_runtimes = False


@contextmanager
def traced_for_runtimes() -> Iterator[None]:
    """Trace models for other runtimes, which have fewer operators than PyTorch."""
    global _traced_for_runtimes
    before, _traced_for_runtimes = _traced_for_runtimes, True
    try:
        yield
    finally:
        _traced_for_runtimes = before


def is_traced_for_runtimes() -> bool:
    """Return True within :func:`traced_for_runtimes`."""
    return _traced_for_runtimes


def runs_as_written(x: torch.Tensor) -> bool:
    """Return True if operators run one by one on a CPU, outside autograd.

    Then memory can be reused and a feature map be processed in tiles; elsewhere (compiled and
    exported graphs, GPUs) whole-map operators are better.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        # A mode, such as a counter of operations, wants to see PyTorch's usual operators.
        and not torch._C._len_torch_dispatch_stack()
        and x.device.type == 'cpu'
        and not (x.requires_grad and torch.is_grad_enabled())
    )
