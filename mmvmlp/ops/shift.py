"""Spatial shift: four groups of channels move by one token in four directions.

Source: S²-MLP (arXiv 2106.07477), section 3.3 and algorithm 1; S²-MLPv2 (arXiv 2108.01072), where
a second part of the map is shifted with the axes swapped.
"""

from typing import Literal

import torch

from mmvmlp.ops.execution import runs_as_written


def shifted(x: torch.Tensor, dim: int, step: int) -> torch.Tensor:
    """Shift a feature map by some tokens, with replicated borders.

    Args:
        x: (N, C, H, W).
        dim: 2 for H, 3 for W.
        step: Number of tokens; positive values shift towards the end.
    """
    length = x.shape[dim]
    source = torch.arange(length, device=x.device) - step
    return x.index_select(dim, source.clamp(min=0, max=length - 1))


def spatial_shift(
    x: torch.Tensor, first_axis: Literal['width', 'height'] = 'width'
) -> torch.Tensor:
    """Shift the quarters of the channels by +1 and -1 along an axis, and along the other one.

    Border rows and columns keep their values, as in algorithm 1 with each assignment reading the
    original values.

    Args:
        x: (N, C, H, W), C a multiple of 4.
        first_axis: Axis of the first two quarters: the width in S²-MLP.
    """
    first, second = (3, 2) if first_axis == 'width' else (2, 3)
    moves = ((first, 1), (first, -1), (second, 1), (second, -1))
    quarters = x.chunk(4, dim=1)
    if runs_as_written(x):
        moved = torch.empty_like(x)
        for source, target, (dim, step) in zip(quarters, moved.chunk(4, dim=1), moves, strict=True):
            _copy_shifted(source, target, dim, step)
        return moved
    return torch.cat(
        [shifted(quarter, *move) for quarter, move in zip(quarters, moves, strict=True)], 1
    )


def _copy_shifted(source: torch.Tensor, target: torch.Tensor, dim: int, step: int) -> None:
    """Do as :func:`shifted` by a step of one token, in one pass."""
    rest = source.shape[dim] - 1
    border = 0 if step > 0 else rest
    target.narrow(dim, max(step, 0), rest).copy_(source.narrow(dim, max(-step, 0), rest))
    target.select(dim, border).copy_(source.select(dim, border))
