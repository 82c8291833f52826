"""Memory layout of feature maps."""

import torch

from mmvmlp.ops.execution import runs_as_written

LARGE_MAP = 2**12
"""Positions from which a map is copied image by image."""


def as_contiguous(x: torch.Tensor) -> torch.Tensor:
    """Return a channels-last map (N, C, H, W) as a contiguous one.

    PyTorch copies a transposed matrix in blocks, which on large maps is four times as fast as its
    copy of a permuted tensor.
    """
    height, width = x.shape[2:]
    if not runs_as_written(x) or x.is_contiguous() or height * width < LARGE_MAP:
        return x.contiguous()
    copied = torch.empty_like(x, memory_format=torch.contiguous_format)
    for source, target in zip(x, copied, strict=True):
        target.flatten(1).copy_(source.permute(1, 2, 0).flatten(0, 1).t())
    return copied
