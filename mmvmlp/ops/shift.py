"""Spatial shift: four groups of channels move by one token in four directions.

Source: S2-MLP (arXiv 2106.07477), section 3.3 and algorithm 1.
"""

import torch


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


def spatial_shift(x: torch.Tensor) -> torch.Tensor:
    """Shift the quarters of the channels by +1 and -1 along W, and by +1 and -1 along H.

    Border rows and columns keep their values, as in algorithm 1 with each assignment reading the
    original values.

    Args:
        x: (N, C, H, W), C a multiple of 4.
    """
    quarters = x.chunk(4, dim=1)
    moves = ((3, 1), (3, -1), (2, 1), (2, -1))
    return torch.cat(
        [shifted(quarter, *move) for quarter, move in zip(quarters, moves, strict=True)], 1
    )
