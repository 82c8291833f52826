"""Cycle shift: channels come in turn from a token, from the next one and from the one before.

With a pointwise layer after it, it is a cycle fully-connected layer (Cycle FC).

Source: CycleMLP (arXiv 2107.10224); official file ``cycle_mlp.py``, class ``CycleFC``, whose
distances are 0, 1 and -1 where the paper's formula has 0, 1 and 2.
"""

from typing import Literal

import torch
from torch.nn import functional

from mmvmlp.ops.axial_shift import copy_shifted
from mmvmlp.ops.execution import runs_as_written

PERIOD = 3
"""Channels after which the distances repeat."""


def cycle_shift(x: torch.Tensor, axis: Literal['height', 'width']) -> torch.Tensor:
    """Take channel c from the token at a distance of 0, 1, -1, 0, 1, -1, ...; zeros outside.

    Args:
        x: (N, C, H, W).
        axis: Axis of the distances.
    """
    dim = 2 if axis == 'height' else 3
    if runs_as_written(x):
        moved = x.clone()
        for first, step in ((1, -1), (2, 1)):
            copy_shifted(x[:, first::PERIOD], moved[:, first::PERIOD], dim, step)
        return moved
    padded = functional.pad(x, (1, 1) if dim == 3 else (0, 0, 1, 1))
    before, after = padded.narrow(dim, 0, x.shape[dim]), padded.narrow(dim, 2, x.shape[dim])
    turn = torch.arange(x.shape[1], device=x.device)[:, None, None] % PERIOD
    return torch.where(turn == 0, x, torch.where(turn == 1, after, before))
