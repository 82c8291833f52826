"""Spatial shift: groups of channels move by one token, each group in another direction.

Source: S2-MLP (arXiv 2106.07477), section 3.3 and algorithm 1.
"""

import torch


def shifted(x: torch.Tensor, dim: int, step: int) -> torch.Tensor:
    """Move a map by some tokens; what has no source keeps the value at the border.

    Args:
        x: (N, C, H, W).
        dim: 2 for H, 3 for W.
        step: Tokens, towards the end where positive.
    """
    length = x.shape[dim]
    source = torch.arange(length, device=x.device) - step
    return x.index_select(dim, source.clamp(min=0, max=length - 1))


def spatial_shift(x: torch.Tensor) -> torch.Tensor:
    """Move a quarter of the channels each by +1 and -1 along W, then by +1 and -1 along H.

    A border row or column keeps its own value, as in algorithm 1 taken at its word: every
    assignment there reads what was there before it.

    Args:
        x: (N, C, H, W), C a multiple of 4.
    """
    quarters = x.chunk(4, dim=1)
    moves = ((3, 1), (3, -1), (2, 1), (2, -1))
    return torch.cat(
        [shifted(quarter, *move) for quarter, move in zip(quarters, moves, strict=True)], 1
    )
