"""S²-MLP: channel MLPs with a spatial shift in between, for any image size.

Source: Yu et al., "S²-MLP: Spatial-Shift MLP Architecture for Vision" (arXiv 2106.07477). There
is no official code. The paper's formulas for the parameters (section 3.4) omit the norms; with
them the classifiers have 72.24 M (wide) and 53.92 M (deep) parameters, not the published 71 M and
51 M (51 is 53.48 / 1.048576: counted in units of 2^20, and without classifier and norms).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.backbones.single_stride import SingleStrideArchitecture, SingleStrideMLP
from mmvmlp.ops import ChannelMLP, DropPath, PatchEmbedding, build_norm, spatial_shift
from mmvmlp.ops.folding import pointwise_weights, split_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.shift import DOWN, LEFT, RIGHT, STILL, UP, Move
from mmvmlp.registry import MODELS

FOUR_DIRECTIONS = (RIGHT, LEFT, DOWN, UP)

SHIFTS: dict[str, tuple[Move, ...]] = {
    'four_directions': FOUR_DIRECTIONS,
    'eight_directions': (*FOUR_DIRECTIONS, (1, 1), (1, -1), (-1, 1), (-1, -1)),
    'right_and_down': (RIGHT, DOWN),
    'left_and_up': (LEFT, UP),
    'horizontal': (RIGHT, LEFT),
    'vertical': (DOWN, UP),
    'right': (RIGHT,),
    'left': (LEFT,),
    'down': (DOWN,),
    'up': (UP,),
    'none': (STILL,),
}
"""Directions of the groups of channels in the paper's ablation of section 4.3, (a) to (j) and none.

Only the directions of (a) and (b) could be verified. Those of the others are read from their
accuracies: one along each axis in (c) and (d), both along one axis in (e) and (f), and a single one
in (g) to (j).
"""


@dataclass(frozen=True)
class S2MLPArchitecture(SingleStrideArchitecture):
    """S²-MLP architecture.

    Attributes:
        depth: Number of blocks.
        channels: Number of channels, a multiple of 4.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        affine: True for ResMLP's affine layers in place of layer norms.
        shift: Directions in which groups of channels move, a key of :data:`SHIFTS`. If the groups
            cannot be equal, the first ones have one channel more.
        still_group: True for one more group, which does not move.
    """

    channels: int = field(metadata={'multiple_of': 4})
    affine: bool = False
    shift: Literal[
        'four_directions',
        'eight_directions',
        'right_and_down',
        'left_and_up',
        'horizontal',
        'vertical',
        'right',
        'left',
        'down',
        'up',
        'none',
    ] = 'four_directions'
    still_group: bool = False

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.still_group and self.shift == 'none':
            raise ValueError(
                f"arch field still_group={self.still_group!r}: with shift='none', where no group "
                'moves, False is accepted'
            )
        if self.channels < len(self.moves):
            raise ValueError(
                f'arch field channels={self.channels!r}: at least {len(self.moves)}, the number of '
                f'groups with shift={self.shift!r}, is accepted'
            )

    @property
    def moves(self) -> tuple[Move, ...]:
        """Direction of each group of channels."""
        return (*SHIFTS[self.shift], STILL) if self.still_group else SHIFTS[self.shift]


class S2MLPBlock(nn.Module):
    """Spatial-shift mixing and channel mixing, each in a pre-norm residual branch.

    Source: section 3.2, figure 2; the shift is algorithm 1.

    Args:
        arch: Architecture of the network.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
    """

    def __init__(
        self, arch: S2MLPArchitecture, drop_path_rate: float, norm_cfg: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.moves = arch.moves
        self.norm1 = build_norm(norm_cfg, arch.channels)
        self.fc1 = nn.Conv2d(arch.channels, arch.channels, 1)
        self.fc2 = nn.Conv2d(arch.channels, arch.channels, 1)
        self.norm2 = build_norm(norm_cfg, arch.channels)
        self.channel_mlp = ChannelMLP(arch.channels, arch.mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix neighbouring tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        hidden = pointwise(self.fc1, self.norm1(x), 'gelu')
        mixed = pointwise(self.fc2, spatial_shift(hidden, self.moves))
        x = x + self.drop_path(mixed)
        x = x + self.drop_path(self.channel_mlp(self.norm2(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedS2MLPBlock(self)


class FusedS2MLPBlock(FusedBlock):
    """Inference form of a block: norms and residual additions are folded into the linear layers.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: S2MLPBlock) -> None:
        super().__init__()
        self.moves = block.moves
        dtype = block.fc1.weight.dtype
        self.normalisation, gain, offset = split_norm(block.norm1)
        weight, bias = pointwise_weights(block.fc1)
        self.fc1 = FusedLinear(weight * gain, bias + weight @ offset, dtype, 'gelu')
        self.fc2 = FusedLinear(*pointwise_weights(block.fc2), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(self.normalisation(x)).permute(0, 3, 1, 2)
        x = self.fc2(spatial_shift(hidden, self.moves).permute(0, 2, 3, 1), added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed


@MODELS.register_module()
class S2MLP(SingleStrideMLP):
    """S²-MLP: mixing of neighbouring tokens by spatial shifts; size-free by design.

    Args:
        arch: ``'wide'`` (default), ``'deep'``, or a mapping with the fields of
            :class:`S2MLPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm, or
            to affine layers for ``'deep'``.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = S2MLP("deep", out_indices=(3,))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 384, 4, 7)]
    """

    variants = {
        'wide': S2MLPArchitecture(depth=12, channels=768),
        'deep': S2MLPArchitecture(depth=36, channels=384, affine=True),
    }
    smallest_variant = 'deep'
    small_arch = {'depth': 5, 'channels': 8, 'patch_size': 14}
    name_prefix = 's2_mlp'
    title = 'S²-MLP'
    paper = 'https://arxiv.org/abs/2106.07477'
    size_free = True
    has_final_norm = False
    published_weights = tuple(
        PublishedWeights(
            name=f's2_mlp_{variant}.in1k',
            address=None,
            format='',
            top1=top1,
            page='https://arxiv.org/abs/2106.07477',
            licence='',
            reason='the weights of S²-MLP were never released',
        )
        for variant, top1 in (('wide', 80.0), ('deep', 80.7))
    )

    @property
    def default_norm_cfg(self) -> Mapping[str, Any]:
        """Norm layers of the published network: layer norm or affine."""
        return {'type': 'Affine'} if self.arch.affine else {'type': 'LN2d'}

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(
            self.in_channels,
            self.arch.channels,
            self.arch.patch_size,
            norm_cfg=self.norm_cfg,
        )

    def build_block(self, drop_path_rate: float) -> nn.Module:
        return S2MLPBlock(self.arch, drop_path_rate, self.norm_cfg)
