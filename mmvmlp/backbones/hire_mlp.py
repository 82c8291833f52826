"""Hire-MLP: hierarchical rearrangement of tokens in regions along H and W.

Source: Guo et al., "Hire-MLP: Vision MLP via Hierarchical Rearrangement" (arXiv 2108.13341);
official repository ggjy/Hire-Wave-MLP.pytorch, file ``hire_mlp.py``. The published parameter
counts match the official code, which reweights the branches and projects their sum; the paper's
formula omits both.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import nn

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.official_format import (
    FLAT,
    POINTWISE,
    TRANSPOSED_POINTWISE,
    OfficialFormat,
)
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, RegionMixing, SplitAttention, build_norm
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.region_switches import Exchange, Padding, RegionSwitches, build_region_mixing
from mmvmlp.ops.split_attention import attended_projection
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class HireMLPArchitecture(Architecture):
    """Hire-MLP architecture; tuples hold one value per stage.

    The fields from ``padding`` on are switches of the paper's ablations. Two ablations need none:
    ``shift_steps=(0, 0, 0, 0)`` is without cross-region rearrangement, and
    ``regions=(1, 1, 1, 1)`` without inner-region rearrangement, where shifts have no effect either.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, multiples of 4.
        regions: Tokens per region.
        shift_periods: Number of blocks after which the shifts repeat.
        shift_steps: Increase of the shift per block, in tokens.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        padding: What completes the map to a multiple of the region; it is shifted around its end
            before, whatever the padding. Ablated in version 1 of the paper.
        restoration: True to shift mixed tokens back. Ablated in version 2.
        height_branch: True to mix along the height.
        width_branch: True to mix along the width.
        channel_branch: True to mix the channels of each token. Ablated in both versions.
        weighting: True to weight the branches per channel, False to add them; one branch alone is
            never weighted. The papers' formula has no weights, the official code has.
        region_layers: Number of fully connected layers that mix a region, 1 to 3. Ablated in
            version 2.
        exchange: How regions exchange tokens: ``'shift'``, or ``'shuffle'`` in blocks that would
            shift them, as ShuffleNet shuffles channels. Ablated in version 1.

    See :class:`~mmvmlp.ops.region_switches.RegionSwitches` for the values of ``padding`` and
    ``exchange``.
    """

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = field(metadata={'multiple_of': 4})
    regions: tuple[int, int, int, int] = (4, 3, 3, 2)
    shift_periods: tuple[int, int, int, int] = (2, 2, 3, 2)
    shift_steps: tuple[int, int, int, int] = field(default=(2, 2, 1, 1), metadata={'lowest': 0})
    mlp_ratio: float = 4.0
    padding: Padding = 'circular'
    restoration: bool = True
    height_branch: bool = True
    width_branch: bool = True
    channel_branch: bool = True
    weighting: bool = True
    region_layers: int = 2
    exchange: Exchange = 'shift'

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.region_layers > 3:
            raise ValueError(
                f'arch field region_layers={self.region_layers!r}: 1, 2 or 3 is accepted'
            )
        if self.number_of_branches == 0:
            raise ValueError(
                'arch fields height_branch=False, width_branch=False, channel_branch=False: at '
                'least one of them must be True'
            )

    @property
    def number_of_branches(self) -> int:
        """Number of branches of the token mixing."""
        return self.height_branch + self.width_branch + self.channel_branch

    @property
    def region_switches(self) -> RegionSwitches:
        """Switches of the height and width branches."""
        return RegionSwitches(self.padding, self.restoration, self.exchange, self.region_layers)

    @property
    def is_ablation(self) -> bool:
        """True if the token mixing differs from that of the published networks."""
        has_all = self.number_of_branches == 3 and self.weighting
        return not has_all or self.region_switches != RegionSwitches()

    def shift(self, stage: int, block: int) -> int:
        """Return the shift of a block's regions in tokens."""
        return block % self.shift_periods[stage] * self.shift_steps[stage]


class ConvNormReLU(nn.Sequential):
    """Convolution, norm, ReLU: the stem, and the downsampling between stages.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of the kernel.
        stride: Stride of the kernel.
        padding: Zero padding at each border.
        norm_cfg: Norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.norm = build_norm(norm_cfg, out_channels)
        self.activation = nn.ReLU()


class HireModule(nn.Module):
    """Token mixing: height, width and channel branches, reweighted per channel, and projected.

    Source: official class ``HireMLP``, with its ``reweight`` and ``proj``.

    Args:
        arch: Architecture.
        stage: Number of the stage, from 0.
        block: Number of the block in the stage, from 0.
        norm_cfg: Norms of the height and width branches.
    """

    def __init__(
        self, arch: HireMLPArchitecture, stage: int, block: int, norm_cfg: Mapping[str, Any]
    ) -> None:
        super().__init__()
        channels = arch.channels[stage]
        region, shift = arch.regions[stage], arch.shift(stage, block)

        def mixing_along(axis: Literal['height', 'width']) -> nn.Module:
            switches = arch.region_switches
            return build_region_mixing(channels, region, shift, axis, norm_cfg, switches)

        self.height = mixing_along('height') if arch.height_branch else None
        self.width = mixing_along('width') if arch.width_branch else None
        self.channel = nn.Conv2d(channels, channels, 1) if arch.channel_branch else None
        number = arch.number_of_branches
        weighted = arch.weighting and number > 1
        self.reweight = SplitAttention(channels, branches=number) if weighted else None
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        branches = [mixing(x) for mixing in (self.height, self.width) if mixing is not None]
        if self.channel is not None:
            branches.append(pointwise(self.channel, x))
        if self.reweight is None:
            return pointwise(self.projection, functools.reduce(torch.add, branches))
        return attended_projection(branches, self.reweight, self.projection)


class HireBlock(nn.Module):
    """Token mixing and channel mixing, each in a pre-norm residual branch.

    Args:
        arch: Architecture.
        stage: Number of the stage, from 0.
        block: Number of the block in the stage, from 0.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        arch: HireMLPArchitecture,
        stage: int,
        block: int,
        drop_path_rate: float,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        channels = arch.channels[stage]
        self.norm1 = build_norm(norm_cfg, channels)
        self.token_mixing = HireModule(arch, stage, block, norm_cfg)
        self.norm2 = build_norm(norm_cfg, channels)
        self.channel_mlp = ChannelMLP(channels, arch.mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = x + self.drop_path(self.token_mixing(self.norm1(x)))
        x = x + self.drop_path(self.channel_mlp(self.norm2(x)))
        return x


@MODELS.register_module()
class HireMLP(VisionMLP):
    """Hire-MLP: mixing in regions of tokens, which shift from block to block; size-free by design.

    Networks with a switch of the ablations have no inference form of their own:
    :func:`mmvmlp.fuse` leaves their blocks as they are, and folds the norms between stages.

    Args:
        arch: ``'tiny'`` (default), ``'small'``, ``'base'``, ``'large'``, or a mapping with the
            fields of :class:`HireMLPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``out_norm`` adds the norms of the
            official dense backbone (there ``norm0``, ``norm2``, ``norm4``, ``norm6``); ``norm_cfg``
            defaults to batch norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = HireMLP("tiny", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 96))]
        [(1, 128, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    variants = {
        'tiny': HireMLPArchitecture(depths=(2, 2, 4, 2), channels=(64, 128, 320, 512)),
        'small': HireMLPArchitecture(depths=(3, 4, 10, 3), channels=(64, 128, 320, 512)),
        'base': HireMLPArchitecture(depths=(4, 6, 24, 3), channels=(64, 128, 320, 512)),
        'large': HireMLPArchitecture(depths=(4, 6, 24, 3), channels=(96, 192, 384, 768)),
    }
    smallest_variant = 'tiny'
    small_arch = {'depths': (2, 2, 3, 2), 'channels': (8, 12, 16, 20)}
    name_prefix = 'hire_mlp'
    title = 'Hire-MLP'
    paper = 'https://arxiv.org/abs/2108.13341'
    size_free = True
    default_norm_cfg = {'type': 'BN'}
    official_formats = (
        OfficialFormat(
            name='official Hire-MLP (ggjy/Hire-Wave-MLP.pytorch)',
            signature='network.0.0.attn.mlp_h1.weight',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                (r'^patch_embed\.norm\.', 'stem.norm.'),
                *((rf'^network\.{2 * i}\.(\d+)\.', rf'stages.{i}.blocks.\1.') for i in range(4)),
                *(
                    (rf'^network\.{2 * i - 1}\.proj\.', f'stages.{i}.downsample.conv.')
                    for i in (1, 2, 3)
                ),
                *(
                    (rf'^network\.{2 * i - 1}\.norm\.', f'stages.{i}.downsample.norm.')
                    for i in (1, 2, 3)
                ),
                (r'\.attn\.mlp_h1\.', '.token_mixing.height.reduce.'),
                (r'\.attn\.mlp_h1_norm\.', '.token_mixing.height.norm.'),
                (r'\.attn\.mlp_h2\.', '.token_mixing.height.expand.'),
                (r'\.attn\.mlp_w1\.', '.token_mixing.width.reduce.'),
                (r'\.attn\.mlp_w1_norm\.', '.token_mixing.width.norm.'),
                (r'\.attn\.mlp_w2\.', '.token_mixing.width.expand.'),
                (r'\.attn\.mlp_c\.', '.token_mixing.channel.'),
                (r'\.attn\.reweight\.fc1\.', '.token_mixing.reweight.0.'),
                (r'\.attn\.reweight\.fc2\.', '.token_mixing.reweight.2.'),
                (r'\.attn\.proj\.', '.token_mixing.projection.'),
                (r'(\.blocks\.\d+)\.mlp\.', r'\1.channel_mlp.'),
                (r'^norm2\.', 'norm1.'),
                (r'^norm4\.', 'norm2.'),
                (r'^norm6\.', 'norm3.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=(
                (r'\.reduce\.weight$', POINTWISE),
                (r'\.reweight\.[02]\.weight$', POINTWISE),
                (r'\.expand\.weight$', TRANSPOSED_POINTWISE),
                (r'\.expand\.bias$', FLAT),
            ),
        ),
    )

    published_weights = (
        *(
            PublishedWeights(
                name=f'hire_mlp_{variant}.in1k',
                address='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/'
                f'hire_mlp_{variant}.pth',
                format='official Hire-MLP (ggjy/Hire-Wave-MLP.pytorch)',
                top1=top1,
                page='https://github.com/ggjy/Hire-Wave-MLP.pytorch',
                licence='MIT badge, no licence file',
            )
            for variant, top1 in (('tiny', 79.7), ('small', 82.1), ('base', 83.2))
        ),
        PublishedWeights(
            name='hire_mlp_large.in1k',
            address=None,
            format='',
            top1=83.8,
            page='https://github.com/ggjy/Hire-Wave-MLP.pytorch',
            licence='',
            reason='the weights of Hire-MLP-L were never released',
        ),
    )

    def build_stem(self) -> nn.Module:
        return ConvNormReLU(self.in_channels, self.arch.channels[0], 7, 4, 2, self.norm_cfg)

    def fused_blocks(self, blocks: Sequence[nn.Module]) -> list[nn.Module]:
        from mmvmlp.backbones.fused_hire_mlp import FusedHireBlock

        if self.arch.is_ablation:
            return list(blocks)
        hire_blocks = cast(Sequence[HireBlock], blocks)
        mixings = [cast(RegionMixing, block.token_mixing.height) for block in hire_blocks]
        shifts = [0, *(mixing.shift for mixing in mixings)]
        return [
            FusedHireBlock(block, earlier_shift, restores=index == len(blocks))
            for index, (block, earlier_shift) in enumerate(
                zip(hire_blocks, shifts, strict=False), start=1
            )
        ]

    def levels(self) -> tuple[FeatureInfo, ...]:
        strides = (4, 8, 16, 32)
        return tuple(map(FeatureInfo, self.arch.channels, strides))

    def build_stage(self, stage: int) -> Stage:
        arch: HireMLPArchitecture = self.arch
        channels = arch.channels[stage]
        drop_path_rates = self.drop_path_rates()[stage]
        blocks = [
            HireBlock(arch, stage, block, drop_path_rates[block], self.norm_cfg)
            for block in range(arch.depths[stage])
        ]
        if stage == 0:
            return Stage(blocks)
        merging = ConvNormReLU(arch.channels[stage - 1], channels, 3, 2, 1, self.norm_cfg)
        return Stage(blocks, downsample=merging)
