"""Spatial shift: groups of channels move by one token, each in a direction of its own.

Source: S²-MLP (arXiv 2106.07477), section 3.3 and algorithm 1, four groups; its ablation has other
groups. S²-MLPv2 (arXiv 2108.01072) shifts a second part of the map with the axes swapped.
"""

import torch

from mmvmlp.ops.execution import runs_as_written

Move = tuple[int, int]
"""Tokens by which a group moves along H and W; positive values move it towards the end."""

RIGHT, LEFT, DOWN, UP, STILL = (0, 1), (0, -1), (1, 0), (-1, 0), (0, 0)


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
    x: torch.Tensor, moves: tuple[Move, ...] = (RIGHT, LEFT, DOWN, UP)
) -> torch.Tensor:
    """Shift groups of channels by one token each.

    Border rows and columns keep their values, as in algorithm 1 with each assignment reading the
    original values.

    Args:
        x: (N, C, H, W), with at least one channel for each group. If the groups cannot be equal,
            the first ones have one channel more.
        moves: Direction of each group: S²-MLP's four by default.
    """
    groups = x.tensor_split(len(moves), dim=1)
    if runs_as_written(x):
        moved = torch.empty_like(x)
        for source, target, move in zip(
            groups, moved.tensor_split(len(moves), dim=1), moves, strict=True
        ):
            _copy_moved(source, target, move)
        return moved
    return torch.cat([_moved(group, move) for group, move in zip(groups, moves, strict=True)], 1)


def _moved(x: torch.Tensor, move: Move) -> torch.Tensor:
    for dim, step in zip((2, 3), move, strict=True):
        if step:
            x = shifted(x, dim, step)
    return x


def _copy_moved(source: torch.Tensor, target: torch.Tensor, move: Move) -> None:
    """Do as :func:`_moved`, in one pass if the group moves along one axis."""
    match move:
        case 0, 0:
            target.copy_(source)
        case step, 0:
            _copy_shifted(source, target, 2, step)
        case 0, step:
            _copy_shifted(source, target, 3, step)
        case _:
            target.copy_(_moved(source, move))


def _copy_shifted(source: torch.Tensor, target: torch.Tensor, dim: int, step: int) -> None:
    """Do as :func:`shifted` by a step of one token, in one pass."""
    rest = source.shape[dim] - 1
    border = 0 if step > 0 else rest
    target.narrow(dim, max(step, 0), rest).copy_(source.narrow(dim, max(-step, 0), rest))
    target.select(dim, border).copy_(source.select(dim, border))
