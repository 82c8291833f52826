"""Recomputation of blocks in the backward pass, which saves memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Run a block whose activations are recomputed in the backward pass.

    Args:
        block: The block; its batch norms count each batch once.
        x: Input of the block.
    """
    if torch.compiler.is_compiling():
        # Compiled graphs update running statistics in the forward pass only.
        return cast(torch.Tensor, checkpoint(block, x, use_reentrant=False))
    contexts = partial(_recomputation_contexts, block)
    return cast(torch.Tensor, checkpoint(block, x, use_reentrant=False, context_fn=contexts))


def _recomputation_contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _running_statistics_kept(block)


@contextmanager
def _running_statistics_kept(block: nn.Module) -> Iterator[None]:
    """Keep batch norms from counting a batch again on recomputation."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats and norm.training for norm in norms]
    kept = [
        (
            norm.momentum,
            None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone(),
        )
        for norm in norms
    ]
    for norm, is_tracked in zip(norms, tracked, strict=True):
        if is_tracked:
            norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None and batches is not None:
                norm.num_batches_tracked.copy_(batches)
