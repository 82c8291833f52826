"""ViP (Vision Permutator): linear layers along rows and columns, across segments of channels.

Source: Hou et al., "Vision Permutator: A Permutable MLP-Like Architecture for Visual Recognition"
(arXiv 2106.12368); official repository houqb/VisionPermutator, file ``models/vip.py``. Where
Table 1 gives Large/7 blocks by stride as 9 + 27, the official code, which the published weights and
the published size follow, has 8 + 28.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmvmlp.backbones.official_format import LINEAR, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.backbones.two_strides import TwoStrideArchitecture, TwoStrideMLP
from mmvmlp.ops import ChannelMLP, DropPath, Resolution, SegmentMixing, SplitAttention, build_norm
from mmvmlp.ops.folding import pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.split_attention import attended_projection
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class ViPArchitecture(TwoStrideArchitecture):
    """ViP architecture; tuples hold one value per stage.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, multiples of 4, equal in stages of the same stride.
        strides: Strides. The first is the side of a patch in pixels, and where the stride grows,
            patches are merged before the stage.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        segments: Number of segments of the channels; in the published networks, that of the tokens
            per row.
        image_size: Native image size: side of a square in pixels.
    """

    channels: tuple[int, int, int, int] = field(metadata={'multiple_of': 4})
    segments: tuple[int, int, int, int] = field(kw_only=True)
    image_size: int = 224

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if any(c % s for c, s in zip(self.channels, self.segments, strict=True)):
            raise ValueError(
                f'arch field segments={self.segments!r}: divisors of the channels '
                f'{self.channels!r} are accepted'
            )
        if self.image_size % self.strides[-1]:
            raise ValueError(
                f'arch field image_size={self.image_size!r}: a positive multiple of the last '
                f'stride {self.strides[-1]} is accepted'
            )


class PermuteMLP(nn.Module):
    """Token mixing: along H, along W, and channels; reweighted, and projected.

    Source: Weighted Permute-MLP; official class ``WeightedPermuteMLP``.

    Args:
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        segments: Number of segments of the channels.
        resolution: Image-size policy.
    """

    def __init__(self, channels: int, tokens: int, segments: int, resolution: Resolution) -> None:
        super().__init__()
        segment = channels // segments
        self.height = SegmentMixing(tokens, segment, 'height', resolution)
        self.width = SegmentMixing(tokens, segment, 'width', resolution)
        self.channel = nn.Conv2d(channels, channels, 1, bias=False)
        self.reweight = SplitAttention(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        branches = self.height(x), self.width(x), pointwise(self.channel, x)
        return attended_projection(branches, self.reweight, self.projection)


class ViPBlock(nn.Module):
    """Token mixing and channel mixing, each in a pre-norm residual branch.

    Source: Permutator; official class ``PermutatorBlock``.

    Args:
        channels: Number of channels.
        tokens: Tokens per row and per column at the native size.
        segments: Number of segments of the channels.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        drop_path_rate: Stochastic depth of both branches.
        resolution: Image-size policy.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        channels: int,
        tokens: int,
        segments: int,
        mlp_ratio: float,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.token_mixing = PermuteMLP(channels, tokens, segments, resolution)
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
        return FusedViPBlock(self)


class FusedViPBlock(FusedBlock):
    """Inference form of a block: the second norm and residual additions are folded.

    The first norm stays, for segments share weights, and its scales differ between them.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: ViPBlock) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.projection.weight.dtype
        self.norm = block.norm1
        self.height = mixing.height
        self.width = mixing.width
        self.channel = FusedLinear(*pointwise_weights(mixing.channel), dtype)
        self.reweight = mixing.reweight
        self.projection = FusedLinear(*pointwise_weights(mixing.projection), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(x.permute(0, 3, 1, 2))
        channel = self.channel(tokens.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        branches = self.height(tokens), self.width(tokens), channel
        weights = self.reweight.of(branches).to(x.dtype)
        first, second, third = (
            branch.permute(0, 2, 3, 1) * weight[:, None, None]
            for branch, weight in zip(branches, weights.unbind(2), strict=True)
        )
        x = self.projection(first + second + third, added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed


@MODELS.register_module()
class ViP(TwoStrideMLP):
    """ViP: mixing along rows and columns; other image sizes require an image-size policy.

    Args:
        arch: ``'small7'`` (default), ``'small14'``, ``'medium7'``, ``'large7'``, or a mapping with
            the fields of :class:`ViPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = ViP("small7", out_indices=(0, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 192, 10, 15), (1, 384, 5, 8)]
    """

    variants = {
        'small7': ViPArchitecture(
            depths=(4, 3, 8, 3),
            channels=(192, 384, 384, 384),
            strides=(7, 14, 14, 14),
            segments=(32, 16, 16, 16),
        ),
        'small14': ViPArchitecture(
            depths=(4, 3, 8, 3),
            channels=(384, 384, 384, 384),
            strides=(14, 14, 14, 14),
            segments=(16, 16, 16, 16),
        ),
        'medium7': ViPArchitecture(
            depths=(4, 3, 14, 3),
            channels=(256, 256, 512, 512),
            strides=(7, 7, 14, 14),
            segments=(32, 32, 16, 16),
        ),
        'large7': ViPArchitecture(
            depths=(8, 8, 16, 4),
            channels=(256, 512, 512, 512),
            strides=(7, 14, 14, 14),
            segments=(32, 16, 16, 16),
        ),
    }
    smallest_variant = 'small7'
    small_arch = {
        'depths': (2, 1, 2, 1),
        'channels': (8, 8, 12, 12),
        'strides': (4, 4, 8, 8),
        'segments': (4, 4, 3, 3),
        'image_size': 64,
    }
    name_prefix = 'vip'
    title = 'ViP'
    paper = 'https://arxiv.org/abs/2106.12368'
    size_free = False
    default_norm_cfg = {'type': 'LN2d'}
    official_formats = (
        OfficialFormat(
            name='official ViP (houqb/VisionPermutator)',
            signature='network.0.0.attn.mlp_h.weight',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                (r'^network\.(\d+)\.proj\.', r'entries.\1.conv.'),
                (r'^network\.', 'entries.'),
                (r'\.attn\.mlp_h\.', '.token_mixing.height.linear.'),
                (r'\.attn\.mlp_w\.', '.token_mixing.width.linear.'),
                (r'\.attn\.mlp_c\.', '.token_mixing.channel.'),
                (r'\.attn\.reweight\.fc1\.', '.token_mixing.reweight.0.'),
                (r'\.attn\.reweight\.fc2\.', '.token_mixing.reweight.2.'),
                (r'\.attn\.proj\.', '.token_mixing.projection.'),
                (r'\.mlp\.', '.channel_mlp.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=((r'\.(linear|channel|projection|fc1|fc2)\.weight$', LINEAR),),
        ),
    )
    published_weights = (
        *(
            PublishedWeights(
                name=f'vip_{variant}.in1k',
                address=None,
                format='official ViP (houqb/VisionPermutator)',
                top1=top1,
                page='https://github.com/houqb/VisionPermutator',
                licence='MIT; its README adds: for non-commercial use only',
                reason='the file is on Google Drive, without a direct address',
            )
            for variant, top1 in (('small7', 81.5), ('medium7', 82.7), ('large7', 83.2))
        ),
        PublishedWeights(
            name='vip_small14.in1k',
            address=None,
            format='',
            top1=80.5,
            page='https://github.com/houqb/VisionPermutator',
            licence='',
            reason='the weights of ViP-Small/14 were never released',
        ),
    )

    def build_block(self, stage: int, drop_path_rate: float) -> nn.Module:
        arch: ViPArchitecture = self.arch
        return ViPBlock(
            arch.channels[stage],
            arch.image_size // arch.strides[stage],
            arch.segments[stage],
            arch.mlp_ratio,
            drop_path_rate,
            self.resolution,
            self.norm_cfg,
        )
