"""AS-MLP: groups of channels shift along W and along H, and pointwise layers mix what meets.

Source: Lian et al., "AS-MLP: An Axial Shifted MLP Architecture for Vision" (arXiv 2107.08391);
official repository svip-lab/AS-MLP, file ``as_mlp.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, PatchEmbedding, axial_shift, build_norm
from mmvmlp.ops.folding import pointwise_weights, split_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.registry import MODELS

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class ASMLPArchitecture(Architecture):
    """AS-MLP architecture.

    Attributes:
        depths: Number of blocks in each stage.
        channels: Channels of the first stage; they double from stage to stage.
        shift_size: Groups of channels with different shifts, an odd number: 5 for shifts by -2 to
            2 tokens.
        mlp_ratio: Ratio of hidden channels of the channel MLP to the stage's channels.
    """

    depths: tuple[int, int, int, int]
    channels: int
    shift_size: int = 5
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.shift_size % 2 == 0:
            raise ValueError(
                f'arch field shift_size={self.shift_size!r}: an odd integer is accepted'
            )


class AxialShiftMixing(nn.Module):
    """Token mixing: a pointwise layer after a shift along W, another after one along H, summed.

    Source: official class ``AxialShift``; section 3.2, figure 3.

    Args:
        channels: Number of channels.
        shift_size: Groups of channels with different shifts.
        norm_cfg: Norms.
    """

    def __init__(self, channels: int, shift_size: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.shift_size = shift_size
        self.input_projection = nn.Conv2d(channels, channels, 1)
        self.norm1 = build_norm(norm_cfg, channels)
        self.width = nn.Conv2d(channels, channels, 1)
        self.height = nn.Conv2d(channels, channels, 1)
        self.norm2 = build_norm(norm_cfg, channels)
        self.output_projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        x = functional.gelu(self.norm1(pointwise(self.input_projection, x)))
        width = pointwise(self.width, axial_shift(x, 'width', self.shift_size), 'gelu')
        height = pointwise(self.height, axial_shift(x, 'height', self.shift_size), 'gelu')
        return pointwise(self.output_projection, self.norm2(width + height))


class ASMLPBlock(nn.Module):
    """Axial-shift mixing and channel mixing, each in a pre-norm residual branch.

    Args:
        channels: Number of channels.
        shift_size: Groups of channels with different shifts.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        channels: int,
        shift_size: int,
        mlp_ratio: float,
        drop_path_rate: float,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.token_mixing = AxialShiftMixing(channels, shift_size, norm_cfg)
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
        return FusedASMLPBlock(self)


class FusedASMLPBlock(FusedBlock):
    """Inference form of a block: scales of norms and residual additions are folded.

    The norm before a GELU stays as it is.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: ASMLPBlock) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.width.weight.dtype
        self.shift_size = mixing.shift_size
        self.normalisation1, gain, offset = split_norm(block.norm1)
        weight, bias = pointwise_weights(mixing.input_projection)
        self.input_projection = FusedLinear(weight * gain, bias + weight @ offset, dtype)
        self.norm = mixing.norm1
        self.width = FusedLinear(*pointwise_weights(mixing.width), dtype, 'gelu')
        self.height = FusedLinear(*pointwise_weights(mixing.height), dtype, 'gelu')
        self.normalisation2, gain, offset = split_norm(mixing.norm2)
        weight, bias = pointwise_weights(mixing.output_projection)
        self.output_projection = FusedLinear(weight * gain, bias + weight @ offset, dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.input_projection(self.normalisation1(x)).permute(0, 3, 1, 2)
        hidden = functional.gelu(self.norm(hidden))
        moved = axial_shift(hidden, 'width', self.shift_size)
        summed = self.width(moved.permute(0, 2, 3, 1))
        moved = axial_shift(hidden, 'height', self.shift_size)
        summed = self.height(moved.permute(0, 2, 3, 1), added=summed)
        x = self.output_projection(self.normalisation2(summed), added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed


class PatchMerging(nn.Module):
    """Downsampling: the 2x2 patches of a map become channels, are normalised and projected.

    Incomplete patches at the right and lower border are padded with zeros, which the norm sees.

    Source: official class ``PatchMerging``; padding as in the official segmentation code.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        norm_cfg: Norm.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm = build_norm(norm_cfg, 4 * in_channels)
        self.reduction = nn.Conv2d(4 * in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Merge patches: (N, in, H, W) to (N, out, H / 2, W / 2), rounded up."""
        height, width = x.shape[2:]
        # Constant padding, for exported graphs.
        padded = functional.pad(x, (0, 1, 0, 1)).permute(0, 2, 3, 1)
        rows = slice(0, height, 2), slice(1, None, 2)
        columns = slice(0, width, 2), slice(1, None, 2)
        patches = torch.cat([padded[:, row, column] for column in columns for row in rows], 3)
        return pointwise(self.reduction, self.norm(patches.permute(0, 3, 1, 2)))


@MODELS.register_module()
class ASMLP(VisionMLP):
    """AS-MLP: mixing of neighbouring tokens by axial shifts; size-free by design.

    Its norms span an image's whole feature map, so padding an image changes its maps everywhere.

    Args:
        arch: ``'t'`` (default), ``'s'``, ``'b'``, or a mapping with the fields of
            :class:`ASMLPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``out_norm`` adds the norms of the
            official dense backbone; ``norm_cfg`` defaults to group norm with a single group.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = ASMLP("t", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 192, 8, 13), (1, 384, 4, 7), (1, 768, 2, 4)]
    """

    variants = {
        't': ASMLPArchitecture(depths=(2, 2, 6, 2), channels=96),
        's': ASMLPArchitecture(depths=(2, 2, 18, 2), channels=96),
        'b': ASMLPArchitecture(depths=(2, 2, 18, 2), channels=128),
    }
    smallest_variant = 't'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': 8}
    name_prefix = 'as_mlp'
    title = 'AS-MLP'
    paper = 'https://arxiv.org/abs/2107.08391'
    size_free = True
    default_norm_cfg = {'type': 'GN1'}
    official_formats = (
        OfficialFormat(
            name='official AS-MLP (svip-lab/AS-MLP)',
            signature='layers.0.blocks.0.axial_shift.conv1.weight',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                (r'^patch_embed\.norm\.', 'stem.norm.'),
                *(
                    (rf'^layers\.{i - 1}\.downsample\.', f'stages.{i}.downsample.')
                    for i in (1, 2, 3)
                ),
                (r'^layers\.(\d+)\.', r'stages.\1.'),
                (r'\.axial_shift\.conv1\.', '.token_mixing.input_projection.'),
                (r'\.axial_shift\.conv2_1\.', '.token_mixing.width.'),
                (r'\.axial_shift\.conv2_2\.', '.token_mixing.height.'),
                (r'\.axial_shift\.conv3\.', '.token_mixing.output_projection.'),
                (r'\.axial_shift\.', '.token_mixing.'),
                (r'(\.blocks\.\d+)\.mlp\.', r'\1.channel_mlp.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
            ),
            classifier_keys=r'^(norm|head)\.',
        ),
    )

    published_weights = tuple(
        PublishedWeights(
            name=f'as_mlp_{variant}.in1k',
            address=None,
            format='official AS-MLP (svip-lab/AS-MLP)',
            top1=top1,
            page='https://github.com/svip-lab/AS-MLP',
            licence='MIT',
            reason='the file is on OneDrive and Baidu, without a direct address',
        )
        for variant, top1 in (('t', 81.3), ('s', 83.1), ('b', 83.3))
    )

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(
            self.in_channels, self.arch.channels, STRIDES[0], norm_cfg=self.norm_cfg
        )

    def levels(self) -> tuple[FeatureInfo, ...]:
        return tuple(
            FeatureInfo(self.arch.channels * 2**level, stride)
            for level, stride in enumerate(STRIDES)
        )

    def build_stage(self, stage: int) -> Stage:
        arch: ASMLPArchitecture = self.arch
        channels = arch.channels * 2**stage
        blocks = [
            ASMLPBlock(channels, arch.shift_size, arch.mlp_ratio, rate, self.norm_cfg)
            for rate in self.drop_path_rates()[stage]
        ]
        if stage == 0:
            return Stage(blocks)
        return Stage(blocks, downsample=PatchMerging(channels // 2, channels, self.norm_cfg))
