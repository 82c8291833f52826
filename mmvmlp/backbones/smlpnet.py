"""sMLPNet: sparse token mixing along rows and columns, with depthwise convolutions.

Source: Tang et al., "Sparse MLP for Image Recognition: Is Self-Attention Really Necessary?"
(arXiv 2109.05422); official repository microsoft/SPACH, file ``models/smlp.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.official_format import LINEAR, POINTWISE, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import (
    AxialMixing,
    ChannelMLP,
    DenseMixing,
    DropPath,
    LayerNorm2d,
    PatchEmbedding,
    Resolution,
    build_norm,
)
from mmvmlp.ops.branch_sum import AttendedSum, BranchSum, WeightedBranchSum
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import folded_convolution, pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.registry import MODELS

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class SMLPNetArchitecture(Architecture):
    """sMLPNet architecture.

    Attributes:
        depths: Number of blocks in each stage.
        channels: Channels of the first stage; they double from stage to stage.
        mlp_ratio: Ratio of hidden channels of the channel MLP to the stage's channels.
        image_size: Native image size: side of a square in pixels.
        local: True for a depthwise convolution before the sparse mixing.
        sparse: True, for each stage, for sparse mixing along rows and columns.
        order: Mixing along rows and columns of the same map (``'parallel'``), or along the columns
            of what was mixed along rows (``'serial'``).
        identity: True to fuse the input of the sparse mixing with its outputs.
        fusion: Fusion of these: a pointwise convolution of their concatenation; their sum; a sum
            with a learnable weight for each channel; or with weights by split attention.
        dense: True for the paper's multi-stage baseline: MLPs across all tokens, with as many
            hidden ones, in place of the sparse mixing, and none in the first stage, as its
            published size implies. Its weights cannot be resampled for other native sizes.
    """

    depths: tuple[int, int, int, int]
    channels: int
    mlp_ratio: float = 3.0
    image_size: int = field(default=224, metadata={'multiple_of': STRIDES[-1]})
    local: bool = True
    sparse: tuple[bool, bool, bool, bool] = (True, True, True, True)
    order: Literal['parallel', 'serial'] = 'parallel'
    identity: bool = True
    fusion: Literal['concatenation', 'sum', 'weighted_sum', 'split_attention'] = 'concatenation'
    dense: bool = False

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        mixing = self.order, self.identity, self.fusion
        if not self.local and (self.dense or not all(self.sparse)):
            raise ValueError(
                f'arch field local={self.local!r}: True is accepted with dense={self.dense!r} and '
                f'sparse={self.sparse!r}, which leave stages without other mixing of tokens'
            )
        if (self.dense or not any(self.sparse)) and mixing != ('parallel', True, 'concatenation'):
            raise ValueError(
                f'arch fields order, identity, fusion={mixing!r}: their defaults are accepted with '
                f'dense={self.dense!r} and sparse={self.sparse!r}, for there is no sparse mixing'
            )
        if self.dense and not any(self.sparse[1:]):
            raise ValueError(
                f'arch field dense={self.dense!r}: False is accepted with sparse={self.sparse!r}, '
                'for no stage is left for it'
            )
        if self.branches == 1 and self.fusion != 'concatenation':
            raise ValueError(
                f'arch field fusion={self.fusion!r}: with order={self.order!r} and '
                f"identity={self.identity!r}, which leave one map, 'concatenation' is accepted"
            )

    @property
    def branches(self) -> int:
        """Number of maps that are fused."""
        return self.identity + (2 if self.order == 'parallel' else 1)

    @property
    def is_ablation(self) -> bool:
        """True if the token mixing differs from that of the published networks."""
        published = SMLPNetArchitecture(self.depths, self.channels, self.mlp_ratio, self.image_size)
        return self != published


class NormGELU(nn.Sequential):
    """Norm and GELU before an operation.

    Args:
        channels: Number of channels.
        norm_cfg: Norm.
    """

    def __init__(self, channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm = build_norm(norm_cfg, channels)
        self.activation = nn.GELU()


class SparseMLP(nn.Module):
    """Token mixing along columns and rows in parallel, fused with the input.

    Source: official class ``sMLPBlock``; section 3.2. There ``proj_h`` mixes along W and
    ``proh_w`` along H, and the input comes first in the fusion. The other orders and fusions are
    those of the ablations, section 4.3.

    Args:
        arch: Architecture of the network.
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        resolution: Image-size policy.
        norm_cfg: Norm.
    """

    def __init__(
        self,
        arch: SMLPNetArchitecture,
        channels: int,
        tokens: int,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.serial = arch.order == 'serial'
        self.identity = arch.identity
        self.before = NormGELU(channels, norm_cfg)
        self.width = AxialMixing(tokens, 'width', resolution)
        self.height = AxialMixing(tokens, 'height', resolution)
        self.fuse: nn.Module
        match arch.fusion:
            case 'concatenation':
                self.fuse = nn.Conv2d(arch.branches * channels, channels, 1, bias=False)
            case 'sum':
                self.fuse = BranchSum()
            case 'weighted_sum':
                self.fuse = WeightedBranchSum(arch.branches, channels)
            case 'split_attention':
                self.fuse = AttendedSum(arch.branches, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        x = self.before(x)
        rows = self.width(x)
        branches = [self.height(rows)] if self.serial else [rows, self.height(x)]
        if self.identity:
            branches.insert(0, x)
        if isinstance(self.fuse, nn.Conv2d):
            return pointwise(self.fuse, torch.cat(branches, 1))
        summed: torch.Tensor = self.fuse(branches)
        return summed


class DenseMLP(nn.Module):
    """Token mixing by an MLP across all tokens, with as many hidden ones.

    Source: the ablations' multi-stage MLP, section 4.3.

    Args:
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        resolution: Image-size policy.
        norm_cfg: Norm.
    """

    def __init__(
        self, channels: int, tokens: int, resolution: Resolution, norm_cfg: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.before = NormGELU(channels, norm_cfg)
        self.mixing = DenseMixing(tokens, resolution, tokens**2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        mixed: torch.Tensor = self.mixing(self.before(x))
        return mixed


class SMLPNetBlock(nn.Module):
    """Local and sparse token mixing in one residual branch, channel mixing in another.

    Args:
        arch: Architecture of the network.
        stage: Number of the stage.
        drop_path_rate: Stochastic depth of both branches.
        resolution: Image-size policy.
        norm_cfg: Norms of the token mixing; the channel mixing has a layer norm.
    """

    def __init__(
        self,
        arch: SMLPNetArchitecture,
        stage: int,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.is_ablation = arch.is_ablation
        channels, tokens = arch.channels * 2**stage, arch.image_size // STRIDES[stage]
        self.before: nn.Module = nn.Identity()
        self.local: nn.Module = nn.Identity()
        self.sparse: nn.Module = nn.Identity()
        if arch.local:
            self.before = NormGELU(channels, norm_cfg)
            self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        if arch.sparse[stage] and not arch.dense:
            self.sparse = SparseMLP(arch, channels, tokens, resolution, norm_cfg)
        elif arch.sparse[stage] and stage:
            self.sparse = DenseMLP(channels, tokens, resolution, norm_cfg)
        self.norm = LayerNorm2d(channels)
        self.channel_mlp = ChannelMLP(channels, arch.mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = x + self.drop_path(self.sparse(self.local(self.before(x))))
        x = x + self.drop_path(self.channel_mlp(self.norm(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form, in which the token mixing of ablations stays as it is."""
        return FusedAblationBlock(self) if self.is_ablation else FusedSMLPNetBlock(self)


class FusedSMLPNetBlock(FusedBlock):
    """Inference form of a block: norms, concatenation and residual additions are folded.

    The fusion of input, rows and columns is three linear layers, each of which adds its output to
    what is there.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: SMLPNetBlock) -> None:
        super().__init__()
        before, local, sparse = cast(
            tuple[NormGELU, nn.Conv2d, SparseMLP], (block.before, block.local, block.sparse)
        )
        assert isinstance(sparse.fuse, nn.Conv2d)
        dtype = sparse.fuse.weight.dtype
        self.norm = before.norm
        self.local = folded_convolution(local, sparse.before.norm)
        self.width = sparse.width
        self.height = sparse.height
        weight, bias = pointwise_weights(sparse.fuse)
        of_input, of_width, of_height = weight.chunk(3, dim=1)
        self.fuse_input = FusedLinear(of_input, bias, dtype)
        self.fuse_width = FusedLinear(of_width, torch.zeros_like(bias), dtype)
        self.fuse_height = FusedLinear(of_height, torch.zeros_like(bias), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        local = _gelu(self.local(_gelu(self.norm(x.permute(0, 3, 1, 2)))))
        x = self.fuse_input(local.permute(0, 2, 3, 1), added=x)
        x = self.fuse_width(self.width(local).permute(0, 2, 3, 1), added=x)
        x = self.fuse_height(self.height(local).permute(0, 2, 3, 1), added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed


class FusedAblationBlock(FusedBlock):
    """Inference form of a block with the token mixing of an ablation, which stays as it is.

    Args:
        block: The block.
    """

    def __init__(self, block: SMLPNetBlock) -> None:
        super().__init__()
        self.token_mixing = nn.Sequential(block.before, block.local, block.sparse)
        self.channel_mlp = FusedChannelMLP(block.norm, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.token_mixing(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed_channels: torch.Tensor = self.channel_mlp(x + mixed)
        return mixed_channels


def _gelu(x: torch.Tensor) -> torch.Tensor:
    """Apply a GELU to what nothing else needs."""
    if not runs_as_written(x):
        return functional.gelu(x)
    activated: torch.Tensor = torch.ops.aten.gelu_(x)
    return activated


@MODELS.register_module()
class SMLPNet(VisionMLP):
    """sMLPNet: mixing along rows and columns; other image sizes require an image-size policy.

    Args:
        arch: ``'tiny'`` (default), ``'tiny_ratio2'`` (the paper's T*), ``'small'``, ``'base'``,
            or a mapping with the fields of :class:`SMLPNetArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to batch norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = SMLPNet("tiny", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 96))]
        [(1, 160, 8, 12), (1, 320, 4, 6), (1, 640, 2, 3)]
    """

    variants = {
        'tiny': SMLPNetArchitecture(depths=(2, 8, 14, 2), channels=80),
        'tiny_ratio2': SMLPNetArchitecture(depths=(2, 8, 14, 2), channels=80, mlp_ratio=2.0),
        'small': SMLPNetArchitecture(depths=(2, 10, 24, 2), channels=96),
        'base': SMLPNetArchitecture(depths=(2, 10, 24, 2), channels=112),
    }
    smallest_variant = 'tiny_ratio2'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': 8, 'image_size': 64}
    name_prefix = 'smlpnet'
    title = 'sMLPNet'
    paper = 'https://arxiv.org/abs/2109.05422'
    size_free = False
    default_norm_cfg = {'type': 'BN'}
    official_formats = (
        OfficialFormat(
            name='official sMLPNet (microsoft/SPACH)',
            signature='token_mix.0.1.proh_w.weight',
            renamings=(
                (r'^to_patch_embedding\.0\.0\.', 'stem.conv.'),
                (r'^to_patch_embedding\.(\d+)\.0\.', r'stages.\1.downsample.conv.'),
                (r'^token_mix\.(\d+)\.0\.conv_merge\.BN\.', r'blocks.\1.before.norm.'),
                (r'^token_mix\.(\d+)\.0\.conv_merge\.Conv\.', r'blocks.\1.local.'),
                (r'^token_mix\.(\d+)\.1\.BN\.', r'blocks.\1.sparse.before.norm.'),
                (r'^token_mix\.(\d+)\.1\.proj_h\.', r'blocks.\1.sparse.width.'),
                (r'^token_mix\.(\d+)\.1\.proh_w\.', r'blocks.\1.sparse.height.'),
                (r'^token_mix\.(\d+)\.1\.fuse\.', r'blocks.\1.sparse.fuse.'),
                (r'^channel_mix\.(\d+)\.1\.', r'blocks.\1.norm.'),
                (r'^channel_mix\.(\d+)\.2\.net\.0\.', r'blocks.\1.channel_mlp.fc1.'),
                (r'^channel_mix\.(\d+)\.2\.net\.3\.', r'blocks.\1.channel_mlp.fc2.'),
                (r'^batch_norm\.', 'norm3.'),
                (r'^mlp_head\.0\.', 'head.fc.'),
            ),
            classifier_keys=r'^(batch_norm|mlp_head)\.',
            rearrangements=(
                (r'\.(width|height)\.weight$', POINTWISE),
                (r'\.(fc1|fc2)\.weight$', LINEAR),
            ),
        ),
    )

    published_weights = (
        *(
            PublishedWeights(
                name=f'smlpnet_{variant}.in1k',
                address='https://github.com/microsoft/SPACH/releases/download/v1.0/'
                f'smlp_{variant[0]}.pth',
                format='official sMLPNet (microsoft/SPACH)',
                top1=top1,
                page='https://github.com/microsoft/SPACH',
                licence='MIT',
            )
            for variant, top1 in (('small', 83.1), ('base', 83.4))
        ),
        *(
            PublishedWeights(
                name=f'smlpnet_{variant}.in1k',
                address=None,
                format='',
                top1=top1,
                page='https://github.com/microsoft/SPACH',
                licence='',
                reason=f'the weights of sMLPNet-{title} were never released',
            )
            for variant, title, top1 in (('tiny', 'T', 81.9), ('tiny_ratio2', 'T*', 81.3))
        ),
    )

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(self.in_channels, self.arch.channels, STRIDES[0], bias=False)

    def levels(self) -> tuple[FeatureInfo, ...]:
        return tuple(
            FeatureInfo(self.arch.channels * 2**level, stride)
            for level, stride in enumerate(STRIDES)
        )

    def build_stage(self, stage: int) -> Stage:
        channels = self.arch.channels * 2**stage
        blocks = [
            SMLPNetBlock(self.arch, stage, rate, self.resolution, self.norm_cfg)
            for rate in self.drop_path_rates()[stage]
        ]
        if stage == 0:
            return Stage(blocks)
        return Stage(blocks, downsample=PatchEmbedding(channels // 2, channels, 2, bias=False))
