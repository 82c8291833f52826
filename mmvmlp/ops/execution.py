"""The way in which operators are executed, which decides on the faster of two equal forms."""

import torch


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
