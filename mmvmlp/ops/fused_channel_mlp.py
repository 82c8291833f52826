"""Channel mixing with its norm, LayerScale and residual folded in, for inference."""

import torch
from torch import nn

from mmvmlp.ops.channel_mlp import ChannelMLP
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import pointwise_weights, split_norm
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.layer_scale import LayerScale

TILE_BYTES = 2**21
"""Hidden features computed at a time: they stay in a core's cache, and their memory is reused."""

SMALLEST_TILE = 1024


class FusedChannelMLP(nn.Module):
    """Computes x + LayerScale(ChannelMLP(norm(x))).

    Args:
        norm: Norm before the MLP, of a kind that :func:`~mmvmlp.ops.folding.split_norm` accepts.
        mlp: Channel MLP.
        scale: LayerScale after the MLP; by default none.

    Raises:
        ValueError: If the norm cannot be folded.
    """

    def __init__(self, norm: nn.Module, mlp: ChannelMLP, scale: LayerScale | None = None) -> None:
        super().__init__()
        dtype = mlp.fc1.weight.dtype
        self.normalisation, gain, offset = split_norm(norm)
        weight, bias = pointwise_weights(mlp.fc1)
        self.fc1 = FusedLinear(weight * gain, bias + weight @ offset, dtype, 'gelu')
        weight, bias = pointwise_weights(mlp.fc2)
        if scale is not None:
            weight, bias = scale.weight.double()[:, None] * weight, scale.weight.double() * bias
        self.fc2 = FusedLinear(weight, bias, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels at each position, and add the input: (N, ..., C) to (N, ..., C)."""
        # Before the map is tiled: a tile does not have the statistics of its map.
        normalised = self.normalisation(x)
        if not runs_as_written(x):
            return self._mix(normalised, x)
        tokens = x.reshape(-1, x.shape[-1])
        tile = max(SMALLEST_TILE, TILE_BYTES // (x.element_size() * len(self.fc1.bias)))
        if len(tokens) <= tile:
            return self._mix(normalised, x)
        mixed = torch.empty_like(tokens)
        maps = normalised.reshape(tokens.shape), tokens, mixed
        for source, added, target in zip(*(torch.split(m, tile) for m in maps), strict=True):
            target.copy_(self._mix(source, added))
        return mixed.view(x.shape)

    def _mix(self, normalised: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.fc2(self.fc1(normalised), added=added)
        return mixed
