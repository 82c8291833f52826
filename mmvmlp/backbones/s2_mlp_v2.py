"""S²-MLPv2: two spatial shifts, whose results split attention weighs; small patches, merged once.

Source: Yu et al., "S²-MLPv2: Improved Spatial-Shift MLP Architecture for Vision" (arXiv
2108.01072). There is no official code. Where the text says that split attention averages tokens,
the formula, which this follows, adds them. The published sizes follow from C/4 hidden channels and
no biases in split attention, and from no final norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.backbones.two_strides import TwoStrideArchitecture, TwoStrideMLP
from mmvmlp.ops import ChannelMLP, DropPath, SummedSplitAttention, build_norm, spatial_shift
from mmvmlp.ops.folding import pointwise_weights, split_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.shift import DOWN, LEFT, RIGHT, UP
from mmvmlp.ops.split_attention import attended_projection
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class S2MLPv2Architecture(TwoStrideArchitecture):
    """S²-MLPv2 architecture; tuples hold one value per stage.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, multiples of 4, equal in stages of the same stride.
        strides: Strides. The first is the side of a patch in pixels, and where the stride grows,
            patches are merged before the stage.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
    """

    channels: tuple[int, int, int, int] = field(metadata={'multiple_of': 4})


class S2Module(nn.Module):
    """Token mixing: two parts shifted in two ways and one in place, weighted, and projected.

    Source: section 3.2, figure 1; algorithms 1 and 2.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expansion = nn.Conv2d(channels, 3 * channels, 1)
        self.attention = SummedSplitAttention(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        branches = shifted_branches(pointwise(self.expansion, x))
        return attended_projection(branches, self.attention, self.projection)


def shifted_branches(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split a map (N, 3C, H, W) into three parts (N, C, H, W), and shift the first two."""
    first, second, third = x.chunk(3, 1)
    return spatial_shift(first), spatial_shift(second, (DOWN, UP, RIGHT, LEFT)), third


class S2v2Block(nn.Module):
    """Spatial-shift mixing and channel mixing, each in a pre-norm residual branch.

    Args:
        channels: Number of channels.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
    """

    def __init__(
        self, channels: int, mlp_ratio: float, drop_path_rate: float, norm_cfg: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.token_mixing = S2Module(channels)
        self.norm2 = build_norm(norm_cfg, channels)
        self.channel_mlp = ChannelMLP(channels, mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = x + self.drop_path(self.token_mixing(self.norm1(x)))
        x = x + self.drop_path(self.channel_mlp(self.norm2(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedS2v2Block(self)


class FusedS2v2Block(FusedBlock):
    """Inference form of a block: norms and residual additions are folded into the linear layers.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: S2v2Block) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.projection.weight.dtype
        self.normalisation, gain, offset = split_norm(block.norm1)
        weight, bias = pointwise_weights(mixing.expansion)
        self.expansion = FusedLinear(weight * gain, bias + weight @ offset, dtype)
        self.attention = mixing.attention
        self.projection = FusedLinear(*pointwise_weights(mixing.projection), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        expanded = self.expansion(self.normalisation(x)).permute(0, 3, 1, 2)
        branches = shifted_branches(expanded)
        weights = self.attention.of(branches)
        first, second, third = (
            branch.permute(0, 2, 3, 1) * weight[:, None, None]
            for branch, weight in zip(branches, weights.unbind(2), strict=True)
        )
        x = self.projection(first + second + third, added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed


@MODELS.register_module()
class S2MLPv2(TwoStrideMLP):
    """S²-MLPv2: mixing of neighbouring tokens by two spatial shifts; size-free by design.

    Split attention adds up all tokens, so its weights become sharper as images become larger.

    Args:
        arch: ``'small7'`` (default), ``'medium7'``, ``'small14'``, or a mapping with the fields of
            :class:`S2MLPv2Architecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = S2MLPv2("small7", out_indices=(0, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 192, 10, 15), (1, 384, 5, 8)]
    """

    # The paper counts blocks by stride: 4 + 14, 7 + 17 and 18.
    variants = {
        'small7': S2MLPv2Architecture(
            depths=(4, 3, 8, 3), channels=(192, 384, 384, 384), strides=(7, 14, 14, 14)
        ),
        'medium7': S2MLPv2Architecture(
            depths=(4, 3, 14, 3), channels=(256, 256, 512, 512), strides=(7, 7, 14, 14)
        ),
        'small14': S2MLPv2Architecture(
            depths=(4, 3, 8, 3), channels=(384, 384, 384, 384), strides=(14, 14, 14, 14)
        ),
    }
    smallest_variant = 'small7'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': (8, 8, 12, 12), 'strides': (7, 7, 14, 14)}
    name_prefix = 's2_mlp_v2'
    title = 'S²-MLPv2'
    paper = 'https://arxiv.org/abs/2108.01072'
    size_free = True
    has_final_norm = False
    default_norm_cfg = {'type': 'LN2d'}
    published_weights = tuple(
        PublishedWeights(
            name=f's2_mlp_v2_{variant}.in1k',
            address=None,
            format='',
            top1=top1,
            page='https://arxiv.org/abs/2108.01072',
            licence='',
            reason=f'the weights of S²-MLPv2-{title} were never released',
        )
        for variant, title, top1 in (
            ('small7', 'Small/7', 82.0),
            ('medium7', 'Medium/7', 83.6),
            ('small14', 'Small/14', 80.9),
        )
    )

    def build_block(self, stage: int, drop_path_rate: float) -> nn.Module:
        channels = self.arch.channels[stage]
        return S2v2Block(channels, self.arch.mlp_ratio, drop_path_rate, self.norm_cfg)
