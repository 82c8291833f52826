"""Stochastic depth."""

import torch
from torch import nn


class DropPath(nn.Module):
    """Drops the residual branch of random samples in training, and rescales the others.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.

    Args:
        rate: Probability in [0, 1) of dropping a sample's branch.

    Raises:
        ValueError: If ``rate`` is outside [0, 1).
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f'rate={rate!r}: a number in [0, 1) is accepted')
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the branch (N, ...), with some samples zeroed in training."""
        if self.rate == 0.0 or not self.training:
            return branch
        keep = 1.0 - self.rate
        mask = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(keep)
        return branch * mask.div_(keep)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'rate={self.rate}'
