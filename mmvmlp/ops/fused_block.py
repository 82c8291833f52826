"""Base class of inference forms of blocks, which compiled graphs on a CPU call as one operator."""

import itertools
from abc import abstractmethod
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

_handles = itertools.count()
_blocks: WeakValueDictionary[int, 'FusedBlock'] = WeakValueDictionary()


class FusedBlock(nn.Module):
    """Inference form of a block.

    On a CPU the operators of a fused block, run one by one, are faster than what a compiler makes
    of them: they use rearranged weights, and process large maps in tiles. So a compiled graph holds
    the block as one operator. Exported graphs, and graphs for GPUs, hold its parts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._register()

    def _register(self) -> None:
        self._handle = next(_handles)
        _blocks[self._handle] = self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        # A copy is a block of its own.
        self._register()

    @abstractmethod
    def mix(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, H, W, C) to (N, H, W, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W), channels-last."""
        if (
            torch.compiler.is_dynamo_compiling()
            and x.device.type == 'cpu'
            and not (x.requires_grad and torch.is_grad_enabled())
        ):
            mixed: torch.Tensor = run_fused_block(x, self._handle)
            return mixed
        return self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@torch.library.custom_op('mmvmlp::fused_block', mutates_args=())
def run_fused_block(x: torch.Tensor, handle: int) -> torch.Tensor:
    """Run a fused block on a feature map (N, C, H, W).

    Args:
        x: Feature map.
        handle: Number of the block in this process.
    """
    # Compiled graphs run without the autocast that they were traced with.
    reduced = x.dtype in (torch.bfloat16, torch.float16)
    with torch.autocast('cpu', dtype=x.dtype if reduced else torch.bfloat16, enabled=reduced):
        mixed = _blocks[handle](x)
    return mixed.contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]


@run_fused_block.register_fake
def _(x: torch.Tensor, handle: int) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)
