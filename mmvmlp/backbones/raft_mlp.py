"""RaftMLP: MLPs along columns and rows that share their weights between rafts of channels.

Source: Tatsunami and Taki, "RaftMLP: How Much Can Be Done Without Attention and with Less Spatial
Locality?" (arXiv 2108.04384, version 2); official repository okojoalg/raft-mlp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage
from mmvmlp.backbones.early_levels import EarlyLevelMLP
from mmvmlp.backbones.image_channels import for_image_channels
from mmvmlp.backbones.official_format import LINEAR, OfficialFormat, Rearrangement
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, RaftMixing, Resolution, build_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.resample import resized_bicubic
from mmvmlp.registry import MODELS

STRIDES = (4, 8, 16, 32)
PATCH_SIZES = (4, 2, 2, 2)
KERNEL_SIZES = ((4, 8), (2, 4), (2, 4), (2,))
RAFT_SIZE = 2


@dataclass(frozen=True)
class RaftMLPArchitecture(Architecture):
    """RaftMLP architecture.

    Attributes:
        depths: Number of blocks in each stage.
        channels: Channels of each stage.
        token_mlp_ratio: Ratio of hidden features of the token MLPs to their inputs.
        mlp_ratio: Ratio of hidden channels of the channel MLP to the stage's channels.
        image_size: Native image size: side of a square in pixels.
    """

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = field(metadata={'multiple_of': RAFT_SIZE})
    token_mlp_ratio: float = 2.0
    mlp_ratio: float = 4.0
    image_size: int = field(default=224, metadata={'multiple_of': STRIDES[-1]})

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        features = RAFT_SIZE * self.image_size // STRIDES[-1]
        if int(features * self.token_mlp_ratio) < 1:
            raise ValueError(
                f'arch field token_mlp_ratio={self.token_mlp_ratio!r}: at least 1/{features} is '
                f'accepted with images of {self.image_size} pixels'
            )


class MultiScaleConvolution(nn.Module):
    """Sum of convolutions with kernels of several sizes around the same patches.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        patch_size: Side of a patch, and the stride.
        kernel_sizes: Sides of the kernels, which exceed the patches equally on all sides.
    """

    def __init__(
        self, in_channels: int, out_channels: int, patch_size: int, kernel_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.kernel_sizes = tuple(kernel_sizes)
        features = in_channels * sum(size**2 for size in kernel_sizes)
        linear = nn.Linear(features, out_channels)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve: (N, in, H, W) to (N, out, H / patch_size, W / patch_size)."""
        features = [self.in_channels * size**2 for size in self.kernel_sizes]
        first, *others = (
            functional.conv2d(
                x,
                torch.unflatten(weight, 1, (self.in_channels, size, size)),
                self.bias if index == 0 else None,
                stride=self.patch_size,
                padding=(size - self.patch_size) // 2,
            )
            for index, (size, weight) in enumerate(
                zip(self.kernel_sizes, torch.split(self.weight, features, 1), strict=True)
            )
        )
        return sum(others, first)

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return (
            f'in={self.in_channels}, out={len(self.bias)}, patch_size={self.patch_size}, '
            f'kernel_sizes={self.kernel_sizes}'
        )


class MultiScaleEmbedding(nn.Module):
    """Projects patches with some of their surroundings; also the downsampling between stages.

    Maps whose sides are no multiples of the patch size are interpolated to the next multiples.

    Source: official class ``CrossScaleMLPEmbedding``.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        patch_size: Side of a patch.
        kernel_sizes: Sides of the patches with their surroundings.
    """

    def __init__(
        self, in_channels: int, out_channels: int, patch_size: int, kernel_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        self.conv = MultiScaleConvolution(in_channels, out_channels, patch_size, kernel_sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed patches: (N, in, H, W) to (N, out, H / patch_size, W / patch_size), rounded up."""
        patch = self.conv.patch_size
        # Without negative numbers, whose division runtimes round otherwise.
        height, width = ((side + patch - 1) // patch * patch for side in x.shape[2:])
        patches: torch.Tensor = self.conv(resized_bicubic(x, height, width))
        return patches


class RaftTokenMixing(nn.Module):
    """Mixing along columns, then along rows, each in a pre-norm residual branch.

    With ``'resize'``, the official policy, the map itself is interpolated to the native size and
    back, not the branches only: what is finer than the native grid is lost.

    Source: official classes ``PermutedBlock``, ``RaftShrink`` and ``RaftExpansion``.

    Args:
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        mlp_ratio: Ratio of hidden features of the MLPs to their inputs.
        drop_path_rate: Stochastic depth of both branches.
        resolution: Image-size policy.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        channels: int,
        tokens: int,
        mlp_ratio: float,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.resizes = resolution == 'resize'
        of_lines: Resolution = 'native' if self.resizes else resolution
        self.norm1 = build_norm(norm_cfg, channels)
        self.height = RaftMixing(tokens, 'height', RAFT_SIZE, mlp_ratio, of_lines)
        self.norm2 = build_norm(norm_cfg, channels)
        self.width = RaftMixing(tokens, 'width', RAFT_SIZE, mlp_ratio, of_lines)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, and add the input: (N, C, H, W) to (N, C, H, W)."""
        height, width = x.shape[2:]
        if self.resizes:
            x = resized_bicubic(x, self.tokens, self.tokens)
        x = x + self.drop_path(self.height(self.norm1(x)))
        x = x + self.drop_path(self.width(self.norm2(x)))
        return resized_bicubic(x, height, width) if self.resizes else x


class RaftMLPBlock(nn.Module):
    """Token mixing along both axes, and channel mixing, each in a residual branch.

    Args:
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        arch: Architecture of the network.
        drop_path_rate: Stochastic depth of all branches.
        resolution: Image-size policy.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        channels: int,
        tokens: int,
        arch: RaftMLPArchitecture,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.token_mixing = RaftTokenMixing(
            channels, tokens, arch.token_mlp_ratio, drop_path_rate, resolution, norm_cfg
        )
        self.norm = build_norm(norm_cfg, channels)
        self.channel_mlp = ChannelMLP(channels, arch.mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = self.token_mixing(x)
        x = x + self.drop_path(self.channel_mlp(self.norm(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedRaftMLPBlock(self)


class FusedRaftMLPBlock(FusedBlock):
    """Inference form of a block: the norm of the channel mixing and its addition are folded.

    Args:
        block: The block.

    Raises:
        ValueError: If the norm cannot be folded.
    """

    def __init__(self, block: RaftMLPBlock) -> None:
        super().__init__()
        self.token_mixing = block.token_mixing
        self.channel_mlp = FusedChannelMLP(block.norm, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.token_mixing(x.permute(0, 3, 1, 2))
        mixed_channels: torch.Tensor = self.channel_mlp(mixed.permute(0, 2, 3, 1))
        return mixed_channels


_RAFT_BY_RAFT = Rearrangement(
    lambda tensor, shape: tensor.reshape(-1, RAFT_SIZE).t().reshape(shape),
    lambda tensor: tensor.reshape(RAFT_SIZE, -1).t().flatten(),
)
"""Vector stored raft by raft: channel q of raft o at o * RAFT_SIZE + q."""


@MODELS.register_module()
class RaftMLP(EarlyLevelMLP):
    """RaftMLP: mixing along columns and rows; other image sizes require an image-size policy.

    ``resolution='resize'`` is that of the official code, and interpolates the maps themselves. As
    in the official dense backbone, level 0 is what enters the blocks of its resolution.

    Args:
        arch: ``'s'`` (default), ``'m'``, ``'l'``, or a mapping with the fields of
            :class:`RaftMLPArchitecture`.
        levels_before_blocks: False to emit all levels after the blocks of their resolution, as
            other families do.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm;
            the drop path rate is constant, as in the official code.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = RaftMLP("s", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 128, 8, 13), (1, 256, 4, 7), (1, 512, 2, 4)]
    """

    variants = {
        's': RaftMLPArchitecture(depths=(2, 2, 6, 2), channels=(64, 128, 256, 512)),
        'm': RaftMLPArchitecture(depths=(2, 2, 6, 2), channels=(96, 192, 384, 768)),
        'l': RaftMLPArchitecture(depths=(2, 2, 6, 2), channels=(128, 192, 512, 1024)),
    }
    smallest_variant = 's'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': (8, 12, 16, 32), 'image_size': 64}
    early_levels = (0,)
    name_prefix = 'raft_mlp'
    title = 'RaftMLP'
    paper = 'https://arxiv.org/abs/2108.04384'
    size_free = False
    has_constant_drop_path = True
    default_norm_cfg = {'type': 'LN2d'}
    official_formats = (
        OfficialFormat(
            name='official RaftMLP (okojoalg/raft-mlp)',
            signature='levels.0.fn.0.fc.weight',
            renamings=(
                (r'^levels\.0\.fn\.0\.fc\.', 'stem.conv.'),
                (r'^levels\.(\d+)\.fn\.0\.fc\.', r'stages.\1.downsample.conv.'),
                # Blocks follow the embedding and a rearrangement.
                *((rf'^levels\.(\d+)\.fn\.{i + 2}\.', rf'stages.\1.blocks.{i}.') for i in range(6)),
                (r'(blocks\.\d+)\.1\.norm\.1\.', r'\1.token_mixing.norm1.'),
                (r'(blocks\.\d+)\.3\.norm\.1\.', r'\1.token_mixing.norm2.'),
                (r'(blocks\.\d+)\.5\.norm\.', r'\1.norm.'),
                (r'(blocks\.\d+)\.1\.fn\.', r'\1.token_mixing.height.'),
                (r'(blocks\.\d+)\.3\.fn\.', r'\1.token_mixing.width.'),
                (r'(blocks\.\d+)\.5\.fn\.', r'\1.channel_mlp.'),
                (r'\.0\.(weight|bias)$', r'.fc1.\1'),
                (r'\.3\.(weight|bias)$', r'.fc2.\1'),
                (r'^heads\.0\.1\.', 'norm3.'),
                (r'^classifier\.', 'head.fc.'),
            ),
            classifier_keys=r'^(heads|classifier)\.',
            rearrangements=(
                (r'\.token_mixing\.norm[12]\.(weight|bias)$', _RAFT_BY_RAFT),
                (r'\.channel_mlp\.fc[12]\.weight$', LINEAR),
            ),
        ),
    )
    published_weights = tuple(
        PublishedWeights(
            name=f'raft_mlp_{variant}.in1k',
            address=None,
            format='',
            top1=None,
            page='https://github.com/okojoalg/raft-mlp',
            licence='',
            reason=f'the weights of RaftMLP-{variant.upper()} were never released',
        )
        for variant in ('s', 'm', 'l')
    )

    def levels(self) -> tuple[FeatureInfo, ...]:
        return tuple(map(FeatureInfo, self.arch.channels, STRIDES))

    def stem_for_image_channels(self, weight: torch.Tensor) -> torch.Tensor:
        areas = [size**2 for size in KERNEL_SIZES[0]]
        channels, rest = divmod(weight.shape[1], sum(areas))
        if rest:
            return weight
        kernels = torch.split(weight, [channels * area for area in areas], 1)
        adapted = [
            for_image_channels(kernel.reshape(-1, channels, area), self.in_channels)
            for kernel, area in zip(kernels, areas, strict=True)
        ]
        return torch.cat([kernel.flatten(1) for kernel in adapted], 1)

    def build_stem(self) -> nn.Module:
        return MultiScaleEmbedding(
            self.in_channels, self.arch.channels[0], PATCH_SIZES[0], KERNEL_SIZES[0]
        )

    def build_stage(self, stage: int) -> Stage:
        arch: RaftMLPArchitecture = self.arch
        tokens = arch.image_size // STRIDES[stage]
        rates = self.rates_of_built_blocks(stage)
        blocks = [
            RaftMLPBlock(arch.channels[stage], tokens, arch, rate, self.resolution, self.norm_cfg)
            for rate in rates
        ]
        if stage == 0:
            return Stage(blocks)
        return Stage(
            blocks,
            downsample=MultiScaleEmbedding(
                arch.channels[stage - 1],
                arch.channels[stage],
                PATCH_SIZES[stage],
                KERNEL_SIZES[stage],
            ),
        )
