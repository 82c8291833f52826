"""Axial shift: groups of channels move by different numbers of tokens along one axis.

Source: AS-MLP (arXiv 2107.08391), section 3.2; official file ``as_mlp.py``, class ``AxialShift``.
"""

from typing import Literal

import torch
from torch.nn import functional

from mmvmlp.ops.execution import runs_as_written


def axial_shift(x: torch.Tensor, axis: Literal['height', 'width'], size: int) -> torch.Tensor:
    """Shift groups of channels by -(size // 2), ..., size // 2 tokens; zeros move in at the border.

    Each group has C / size channels, rounded up; the last one has the rest.

    Args:
        x: (N, C, H, W).
        axis: Axis along which tokens move; positive shifts are towards its end.
        size: Number of groups, odd.
    """
    dim, reach = 2 if axis == 'height' else 3, size // 2
    length = x.shape[dim]
    groups = x.chunk(size, dim=1)
    if runs_as_written(x):
        moved = torch.empty_like(x)
        for step, source, target in zip(
            range(-reach, reach + 1), groups, moved.chunk(size, dim=1), strict=False
        ):
            copy_shifted(source, target, dim, step)
        return moved
    padding = (reach, reach) if dim == 3 else (0, 0, reach, reach)
    padded = functional.pad(x, padding).chunk(size, dim=1)
    return torch.cat(
        [group.narrow(dim, 2 * reach - i, length) for i, group in enumerate(padded)], 1
    )


def copy_shifted(source: torch.Tensor, target: torch.Tensor, dim: int, step: int) -> None:
    """Copy a map, shifted by some tokens, into another; zeros move in at the border.

    Args:
        source: (N, C, H, W).
        target: (N, C, H, W).
        dim: 2 for H, 3 for W.
        step: Number of tokens; positive values shift towards the end.
    """
    length = source.shape[dim]
    distance = min(abs(step), length)
    kept = length - distance
    first, border = (distance, 0) if step > 0 else (0, kept)
    target.narrow(dim, first, kept).copy_(source.narrow(dim, distance - first, kept))
    target.narrow(dim, border, distance).zero_()
