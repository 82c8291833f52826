"""Channel mixing with its norm, LayerScale and residual folded in, for inference."""

import torch
from torch import nn

from mmvmlp.ops.channel_mlp import ChannelMLP
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import MapNormalisation, pointwise_weights, split_norm
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.layer_scale import LayerScale

TILE_BYTES = 2**21
"""Hidden features computed at a time: they stay in a core's cache, and their memory is reused."""

SMALLEST_TILE = 1024


class FusedChannelMLP(nn.Module):
    """Computes x + LayerScale(ChannelMLP(norm(x))).

    Args:
        norm: Norm before the MLP: batch norm, layer norm, group norm with one
            group, or affine layer.
        mlp: Channel MLP.
        scale: LayerScale after the MLP; by default none.

    Raises:
        ValueError: If the norm cannot be folded.
    """

    def __init__(self, norm: nn.Module, mlp: ChannelMLP, scale: LayerScale | None = None) -> None:
        super().__init__()
        dtype = mlp.fc1.weight.dtype
        normalisation, gain, offset = split_norm(norm)
        # A tile does not have the statistics of its map.
        of_map = isinstance(normalisation, MapNormalisation)
        self.map_normalisation = normalisation if of_map else nn.Identity()
        self.normalisation = nn.Identity() if of_map else normalisation
        weight, bias = pointwise_weights(mlp.fc1)
        self.fc1 = FusedLinear(weight * gain, bias + weight @ offset, dtype, 'gelu')
        weight, bias = pointwise_weights(mlp.fc2)
        if scale is not None:
            weight, bias = scale.weight.double()[:, None] * weight, scale.weight.double() * bias
        self.fc2 = FusedLinear(weight, bias, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels at each position, and add the input: (N, ..., C) to (N, ..., C)."""
        source = self.map_normalisation(x)
        if not runs_as_written(x):
            return self._mix(source, x)
        tokens = x.reshape(-1, x.shape[-1])
        tile = max(SMALLEST_TILE, TILE_BYTES // (x.element_size() * len(self.fc1.bias)))
        if len(tokens) <= tile:
            return self._mix(source, x)
        mixed = torch.empty_like(tokens)
        tiles = (torch.split(each, tile) for each in (source.reshape(tokens.shape), tokens, mixed))
        for normalised, added, target in zip(*tiles, strict=True):
            target.copy_(self._mix(normalised, added))
        return mixed.view(x.shape)

    def _mix(self, source: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.fc2(self.fc1(self.normalisation(source)), added=added)
        return mixed
