"""Raft-token mixing: an MLP along columns or rows, across small groups of channels, the rafts.

Source: RaftMLP (arXiv 2108.04384), section 3.2; official file ``libs/modules.py``, class
``PermutedBlock``. A raft is ``raft_size`` channels: with C channels, raft k has the channels k,
k + C / raft_size, k + 2 * C / raft_size and so on.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.resample import Resolution, mix_at_native_size, product_along


class RaftMixing(nn.Module):
    """Mixes the tokens of each column (axis 'height') or row (axis 'width') across a raft.

    An MLP takes the tokens of a column or row in all channels of a raft; rafts share its weights.

    Args:
        tokens: Tokens per column or row at the native size.
        axis: Axis along which tokens are mixed.
        raft_size: Channels of a raft.
        mlp_ratio: Ratio of hidden features to ``raft_size * tokens``.
        resolution: Policy for other sizes: ``'window'``, or ``'native'`` where maps have the native
            size.
    """

    def __init__(
        self,
        tokens: int,
        axis: Literal['height', 'width'],
        raft_size: int,
        mlp_ratio: float,
        resolution: Resolution,
    ) -> None:
        super().__init__()
        self.dim = 1 if axis == 'height' else 2
        self.tokens = tokens
        self.raft_size = raft_size
        self.resolution: Resolution = resolution
        features = raft_size * tokens
        hidden = int(features * mlp_ratio)
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix along the axis: (N, C, H, W) to (N, C, H, W)."""
        if self.resolution == 'window' and torch.compiler.is_compiling():
            mixed = self._mix_by_convolution(x)
        else:
            native = {self.dim: self.tokens}
            x = x.permute(0, 2, 3, 1)
            mixed = mix_at_native_size(x, native, self.resolution, self._mix).permute(0, 3, 1, 2)
        return mixed.contiguous(memory_format=torch.channels_last)

    def _mix(self, x: torch.Tensor) -> torch.Tensor:
        """Mix a map (N, H, W, C) of native size."""
        dim, rafts = self.dim, torch.unflatten(x, 3, (self.raft_size, -1))
        lines = rafts.movedim(3, dim).flatten(dim, dim + 1)
        hidden = functional.gelu(product_along(lines, dim, self.fc1.weight, self.fc1.bias))
        mixed = product_along(hidden, dim, self.fc2.weight, self.fc2.bias)
        rafts = torch.unflatten(mixed, dim, (self.raft_size, self.tokens))
        return rafts.movedim(dim, 3).flatten(3)

    def _mix_by_convolution(self, x: torch.Tensor) -> torch.Tensor:
        """Mix in windows by a convolution and its transpose, whose graph holds for every size."""
        axis = self.dim + 1
        window = (self.tokens, 1) if self.dim == 1 else (1, self.tokens)
        kernel = (self.raft_size, *window)
        completed = torch.arange(x.shape[axis] + self.tokens - 1, device=x.device)
        completed = completed.clamp(max=x.shape[axis] - 1)
        rafts = torch.unflatten(x.index_select(axis, completed), 1, (self.raft_size, -1))
        rafts = rafts.transpose(1, 2).flatten(0, 1)
        weight = torch.unflatten(self.fc1.weight, 1, kernel)
        hidden = functional.gelu(functional.conv2d(rafts, weight, self.fc1.bias, stride=window))
        weight = torch.unflatten(self.fc2.weight.t(), 1, kernel)
        mixed = functional.conv_transpose2d(hidden, weight, stride=window)
        token = torch.arange(x.shape[axis], device=x.device)
        bias = torch.unflatten(self.fc2.bias, 0, kernel).to(mixed.dtype)
        mixed = mixed.index_select(axis, token)
        mixed = mixed + bias.index_select(self.dim, token % self.tokens)
        return torch.unflatten(mixed, 0, (x.shape[0], -1)).transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return (
            f'tokens={self.tokens}, dim={self.dim}, raft_size={self.raft_size}, '
            f'resolution={self.resolution!r}'
        )
