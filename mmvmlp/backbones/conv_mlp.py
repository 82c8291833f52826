"""ConvMLP: convolutions at high resolution, then channel MLPs around a depthwise convolution.

Source: Li et al., "ConvMLP: Hierarchical Convolutional MLPs for Vision" (arXiv 2109.04454);
official repository SHI-Labs/Convolutional-MLPs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage
from mmvmlp.backbones.early_levels import EarlyLevelMLP
from mmvmlp.backbones.official_format import LINEAR, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, build_norm
from mmvmlp.ops.folding import folded_convolution, pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.registry import MODELS

STRIDES = (4, 8, 16, 32)
CONV_NORM_CFG = {'type': 'BN'}
REPOSITORY = 'https://github.com/SHI-Labs/Convolutional-MLPs'
CHECKPOINTS = 'https://shi-labs.com/projects/convmlp/checkpoints'
TRAINED_MODELS = (
    (
        'mask_rcnn',
        'COCO',
        'detection/maskrcnn_convmlp_{}_coco.pth',
        {'box AP': (38.4, 40.6, 41.7), 'mask AP': (35.7, 37.2, 38.2)},
    ),
    (
        'retinanet',
        'COCO',
        'detection/retinanet_convmlp_{}_coco.pth',
        {'box AP': (37.2, 39.4, 40.2)},
    ),
    (
        'sem_fpn',
        'ADE20K',
        'segmentation/sem_fpn_convmlp_{}_ade20k.pth',
        {'mIoU': (35.8, 38.6, 40.0)},
    ),
)
"""Method, data, file, and published results of variants S, M and L."""


@dataclass(frozen=True)
class ConvMLPArchitecture(Architecture):
    """ConvMLP architecture.

    Attributes:
        depths: Number of blocks in each stage; those of the first stage are convolutional.
        channels: Channels of the stem and the first stage; they double from stage to stage.
        mlp_ratio: Ratio of hidden channels of the channel MLPs to the stage's channels.
    """

    depths: tuple[int, int, int, int]
    channels: int = field(metadata={'multiple_of': 2})
    mlp_ratio: float


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm and ReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of the kernel, an odd number; the border is padded with zeros.
        stride: Stride.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.norm = build_norm(CONV_NORM_CFG, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve: (N, in, H, W) to (N, out, H / stride, W / stride), rounded up."""
        return functional.relu(self.norm(self.conv(x)))


class ConvTokenizer(ConvNormReLU):
    """Stem: three convolutions, the first with stride 2, and a max pooling.

    Source: official class ``ConvTokenizer``.

    Args:
        in_channels: Channels of the image.
        out_channels: Output channels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        # The last convolution is the stem's own: checkpoints are recognised by `stem.conv`.
        super().__init__(out_channels // 2, out_channels, 3)
        self.before = nn.Sequential(
            ConvNormReLU(in_channels, out_channels // 2, 3, stride=2),
            ConvNormReLU(out_channels // 2, out_channels // 2, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images: (N, in, H, W) to (N, out, H / 4, W / 4), rounded up."""
        return _max_pooled(super().forward(self.before(x)))


def _max_pooled(x: torch.Tensor) -> torch.Tensor:
    """Pool over 3x3 positions with stride 2: (N, C, H, W) to (N, C, H / 2, W / 2), rounded up."""
    if not torch.compiler.is_compiling():
        return functional.max_pool2d(x, 3, 2, 1)
    # PyTorch's strides, of pooling or slices, put conditions on sizes into graphs.
    x = functional.max_pool2d(x, 3, 1, 1)
    for axis in (2, 3):
        x = x.index_select(axis, torch.arange(0, x.shape[axis], 2, device=x.device))
    return x


class ConvBlock(nn.Module):
    """Three convolutions in a residual branch of twice the channels, which ends with a ReLU.

    Source: official class ``ConvStage``.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.expand = ConvNormReLU(channels, hidden, 1)
        self.local = ConvNormReLU(hidden, hidden, 3)
        self.reduce = ConvNormReLU(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens and channels: (N, C, H, W) to (N, C, H, W)."""
        branch: torch.Tensor = self.reduce(self.local(self.expand(x)))
        return x + branch

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedConvBlock(self)


class FusedConvBlock(FusedBlock):
    """Inference form of a convolutional block: batch norms are folded into the convolutions.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        self.expand = _fused_pointwise(block.expand)
        self.local = folded_convolution(block.local.conv, block.local.norm)
        self.reduce = _fused_pointwise(block.reduce)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.local(self.expand(x).permute(0, 3, 1, 2)))
        mixed: torch.Tensor = self.reduce(hidden.permute(0, 2, 3, 1), added=x)
        return mixed


def _fused_pointwise(layer: ConvNormReLU) -> FusedLinear:
    folded = folded_convolution(layer.conv, layer.norm)
    return FusedLinear(*pointwise_weights(folded), folded.weight.dtype, 'relu')


class ConvMLPBlock(nn.Module):
    """Two channel MLPs in residual branches, with a depthwise convolution in series between them.

    Source: official class ``ConvMLPStage``; section 3.3.

    Args:
        channels: Number of channels.
        mlp_ratio: Ratio of hidden channels of the channel MLPs to ``channels``.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        channels: int,
        mlp_ratio: float,
        drop_path_rate: float,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.channel_mlp1 = ChannelMLP(channels, mlp_ratio)
        self.local_norm = build_norm(norm_cfg, channels)
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm2 = build_norm(norm_cfg, channels)
        self.channel_mlp2 = ChannelMLP(channels, mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix channels, neighbouring tokens, and channels: (N, C, H, W) to (N, C, H, W)."""
        x = x + self.drop_path(self.channel_mlp1(self.norm1(x)))
        x = self.local(self.local_norm(x))
        x = x + self.drop_path(self.channel_mlp2(self.norm2(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedConvMLPBlock(self)


class FusedConvMLPBlock(FusedBlock):
    """Inference form of a block: norms of the channel MLPs and residual additions are folded.

    The norm before the depthwise convolution stays as it is, for the convolution pads its output
    with zeros.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: ConvMLPBlock) -> None:
        super().__init__()
        self.channel_mlp1 = FusedChannelMLP(block.norm1, block.channel_mlp1)
        self.local_norm = block.local_norm
        self.local = block.local
        self.channel_mlp2 = FusedChannelMLP(block.norm2, block.channel_mlp2)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        x = self.channel_mlp1(x).permute(0, 3, 1, 2)
        x = self.local(self.local_norm(x)).permute(0, 2, 3, 1)
        mixed: torch.Tensor = self.channel_mlp2(x)
        return mixed


@MODELS.register_module()
class ConvMLP(EarlyLevelMLP):
    """ConvMLP: convolutions, then channel MLPs around depthwise convolutions; size-free by design.

    As in the official dense backbone, levels 0-2 are taken before the blocks of their resolution,
    and level 3 after them. Drop path rates start from 0 in each stage; the first has none.

    Args:
        arch: ``'s'`` (default), ``'m'``, ``'l'``, or a mapping with the fields of
            :class:`ConvMLPArchitecture`.
        levels_before_blocks: False to take all levels after the blocks of their resolution, as in
            other families.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm;
            the convolutions of the stem and the first stage always have batch norms.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = ConvMLP("s", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 128, 8, 13), (1, 256, 4, 7), (1, 512, 2, 4)]
    """

    variants = {
        's': ConvMLPArchitecture(depths=(2, 2, 4, 2), channels=64, mlp_ratio=2.0),
        'm': ConvMLPArchitecture(depths=(3, 3, 6, 3), channels=64, mlp_ratio=3.0),
        'l': ConvMLPArchitecture(depths=(3, 4, 8, 3), channels=96, mlp_ratio=3.0),
    }
    smallest_variant = 's'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': 4, 'mlp_ratio': 2.0}
    early_levels = (0, 1, 2)
    name_prefix = 'conv_mlp'
    title = 'ConvMLP'
    paper = 'https://arxiv.org/abs/2109.04454'
    size_free = True
    has_drop_path_per_stage = True
    default_norm_cfg = {'type': 'LN2d'}
    official_formats = (
        OfficialFormat(
            name='official ConvMLP (SHI-Labs/Convolutional-MLPs)',
            signature='tokenizer.block.0.weight',
            renamings=(
                # The last stage comes first, so that no key is renamed twice.
                *(
                    (rf'^stages\.{i}\.{theirs}\.', f'stages.{i + later}.{ours}.')
                    for i in (2, 1, 0)
                    for theirs, later, ours in (
                        (r'downsample_mlp\.downsample', 2, 'downsample'),
                        ('blocks', 1, 'blocks'),
                    )
                ),
                (r'\.connect_norm\.', '.local_norm.'),
                (r'\.connect\.', '.local.'),
                *(
                    (rf'^tokenizer\.block\.{i + norm}\.', f'stem.{layer}{kind}.')
                    for i, layer in ((0, 'before.0.'), (3, 'before.1.'), (6, ''))
                    for norm, kind in enumerate(('conv', 'norm'))
                ),
                *(
                    (
                        rf'^conv_stages\.conv_blocks\.(\d+)\.{i + norm}\.',
                        rf'stages.0.blocks.\1.{layer}.{kind}.',
                    )
                    for i, layer in ((0, 'expand'), (3, 'local'), (6, 'reduce'))
                    for norm, kind in enumerate(('conv', 'norm'))
                ),
                (r'^conv_stages\.downsample\.', 'stages.1.downsample.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=((r'\.fc[12]\.weight$', LINEAR),),
        ),
    )
    published_weights = (
        *(
            PublishedWeights(
                name=f'conv_mlp_{variant}.in1k',
                address=f'{CHECKPOINTS}/convmlp_{variant}_imagenet.pth',
                format='official ConvMLP (SHI-Labs/Convolutional-MLPs)',
                top1=top1,
                page=REPOSITORY,
                licence='Apache-2.0',
            )
            for variant, top1 in (('s', 76.8), ('m', 79.0), ('l', 80.2))
        ),
        *(
            PublishedWeights(
                name=f'{method}_conv_mlp_{variant}.{data.lower()}',
                address=f'{CHECKPOINTS}/{file.format(variant)}',
                format='official ConvMLP (SHI-Labs/Convolutional-MLPs)',
                top1=None,
                page=REPOSITORY,
                licence='Apache-2.0',
                training_data=f'ImageNet-1k, {data}',
                method=method,
                metrics=tuple((metric, values[size]) for metric, values in results.items()),
            )
            for method, data, file, results in TRAINED_MODELS
            for size, variant in enumerate('sml')
        ),
    )

    def build_stem(self) -> nn.Module:
        return ConvTokenizer(self.in_channels, self.arch.channels)

    def levels(self) -> tuple[FeatureInfo, ...]:
        return tuple(
            FeatureInfo(self.arch.channels * 2**level, stride)
            for level, stride in enumerate(STRIDES)
        )

    def build_stage(self, stage: int) -> Stage:
        arch: ConvMLPArchitecture = self.arch
        channels = arch.channels * 2**stage
        rates = self.rates_of_built_blocks(stage)
        if stage == 0:
            return Stage([ConvBlock(channels) for _ in rates])
        return Stage(
            [ConvMLPBlock(channels, arch.mlp_ratio, rate, self.norm_cfg) for rate in rates],
            downsample=nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
        )
