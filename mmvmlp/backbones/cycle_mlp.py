"""CycleMLP: linear layers whose channels come from neighbouring tokens along H or W.

Source: Chen et al., "CycleMLP: A MLP-like Architecture for Dense Prediction" (arXiv 2107.10224);
official repository ShoufaChen/CycleMLP, file ``cycle_mlp.py``. Checkpoints were also published of
variants tiny, small and base, but not their code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.official_format import LINEAR, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, SplitAttention, build_norm, cycle_shift
from mmvmlp.ops.cycle_shift import PERIOD
from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.folding import pointwise_weights
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.split_attention import attended_projection
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class CycleMLPArchitecture(Architecture):
    """CycleMLP architecture; tuples hold one value per stage.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, multiples of 4.
        mlp_ratios: Ratios of hidden channels of the channel MLPs to ``channels``.
    """

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = field(
        default=(64, 128, 320, 512), metadata={'multiple_of': 4}
    )
    mlp_ratios: tuple[float, float, float, float] = (4.0, 4.0, 4.0, 4.0)


class OverlappingPatches(nn.Module):
    """Projection of overlapping patches: the stem, and the downsampling between stages.

    Source: official classes ``PatchEmbedOverlapping`` and ``Downsample``.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of a patch.
        stride: Distance between patches.
        padding: Zero padding at each border.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project patches: (N, in, H, W) to (N, out, ~H / stride, ~W / stride)."""
        projected: torch.Tensor = self.conv(x)
        return projected


class CycleModule(nn.Module):
    """Token mixing: a Cycle FC along W, one along H, and channels; reweighted, and projected.

    Source: official class ``CycleMLP``, where ``sfc_h`` mixes along W and ``sfc_w`` along H.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = nn.Conv2d(channels, channels, 1)
        self.height = nn.Conv2d(channels, channels, 1)
        self.channel = nn.Conv2d(channels, channels, 1, bias=False)
        self.reweight = SplitAttention(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        branches = (
            pointwise(self.width, cycle_shift(x, 'width')),
            pointwise(self.height, cycle_shift(x, 'height')),
            pointwise(self.channel, x),
        )
        return attended_projection(branches, self.reweight, self.projection)


class CycleBlock(nn.Module):
    """Token mixing and channel mixing, each in a pre-norm residual branch.

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
        self.token_mixing = CycleModule(channels)
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
        return FusedCycleBlock(self)


class FusedCycleBlock(FusedBlock):
    """Inference form of a block: the channel MLP's norm and residual additions are folded.

    The first norm stays as it is, since zeros move in after it. Large maps are mixed, weighted and
    projected by one product per image.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: CycleBlock) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.width.weight.dtype
        self.norm = block.norm1
        self.branches = nn.ModuleList(
            FusedLinear(*pointwise_weights(layer), dtype)
            for layer in (mixing.width, mixing.height, mixing.channel)
        )
        self.reweight = mixing.reweight
        self.projection = FusedLinear(*pointwise_weights(mixing.projection), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.norm(x.permute(0, 3, 1, 2))
        shifted = cycle_shift(maps, 'width'), cycle_shift(maps, 'height'), maps
        sources = [source.permute(0, 2, 3, 1) for source in shifted]
        _, height, width, channels = x.shape
        # Composing the products costs as much as mixing so many tokens.
        if runs_as_written(x) and height * width > 3 * channels:
            x = self._add_composed(x, sources)
        else:
            x = self._add_weighted(x, sources)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed

    def _add_weighted(self, x: torch.Tensor, sources: list[torch.Tensor]) -> torch.Tensor:
        first, second, third = (
            layer(source) for layer, source in zip(self.branches, sources, strict=True)
        )
        pooled = first.mean((1, 2)) + second.mean((1, 2)) + third.mean((1, 2))
        weights = self.reweight(pooled)[:, None, None].to(x.dtype).unbind(4)
        weighted = (first * weights[0]).addcmul(second, weights[1]).addcmul(third, weights[2])
        added: torch.Tensor = self.projection(weighted, added=x)
        return added

    def _add_composed(self, x: torch.Tensor, sources: list[torch.Tensor]) -> torch.Tensor:
        """Mix, weight and project by one product per image."""
        layers = [cast(FusedLinear, layer) for layer in self.branches]
        # The mean of a layer's outputs is its output for the mean.
        first, second, third = (
            layer(source.mean((1, 2))) for layer, source in zip(layers, sources, strict=True)
        )
        weights = self.reweight(first + second + third).to(x.dtype).unbind(2)
        projection = self.projection.weight.t()
        # (N, C, C) of each branch.
        matrices = [
            (layer.weight.t() * weight[:, None]) @ projection
            for layer, weight in zip(layers, weights, strict=True)
        ]
        biases = [layer.bias * weight for layer, weight in zip(layers, weights, strict=True)]
        bias = torch.stack(biases).sum(0) @ projection + self.projection.bias
        tokens = torch.cat(sources, 3).flatten(1, 2)
        mixed = torch.baddbmm(bias[:, None], tokens, torch.cat(matrices, 1))
        return x + mixed.view(x.shape)


def _offsets(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the distances of the official Cycle FC: a pair (y, x) for each channel."""
    pairs = torch.zeros(weight.shape[1], 2, dtype=weight.dtype)
    pairs[:, axis] = (torch.arange(len(pairs)) + 1) % PERIOD - 1
    return pairs.reshape(1, -1, 1, 1)


@MODELS.register_module()
class CycleMLP(VisionMLP):
    """CycleMLP: mixing of neighbouring tokens by linear layers along H and W; size-free by design.

    Args:
        arch: ``'b1'`` (default), ``'b2'``, ``'b3'``, ``'b4'``, ``'b5'``, or a mapping with the
            fields of :class:`CycleMLPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``out_norm`` adds the norms of the
            official dense backbone (there ``norm0``, ``norm2``, ``norm4``, ``norm6``); ``norm_cfg``
            defaults to layer norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = CycleMLP("b1", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 96))]
        [(1, 128, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    variants = {
        'b1': CycleMLPArchitecture(depths=(2, 2, 4, 2)),
        'b2': CycleMLPArchitecture(depths=(2, 3, 10, 3)),
        'b3': CycleMLPArchitecture(depths=(3, 4, 18, 3), mlp_ratios=(8.0, 8.0, 4.0, 4.0)),
        'b4': CycleMLPArchitecture(depths=(3, 8, 27, 3), mlp_ratios=(8.0, 8.0, 4.0, 4.0)),
        'b5': CycleMLPArchitecture(depths=(3, 4, 24, 3), channels=(96, 192, 384, 768)),
    }
    smallest_variant = 'b1'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': (8, 12, 16, 20)}
    name_prefix = 'cycle_mlp'
    title = 'CycleMLP'
    paper = 'https://arxiv.org/abs/2107.10224'
    size_free = True
    default_norm_cfg = {'type': 'LN2d'}
    official_formats = (
        OfficialFormat(
            name='official CycleMLP (ShoufaChen/CycleMLP)',
            signature='network.0.0.attn.sfc_h.weight',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                *((rf'^network\.{2 * i}\.(\d+)\.', rf'stages.{i}.blocks.\1.') for i in range(4)),
                *(
                    (rf'^network\.{2 * i - 1}\.proj\.', f'stages.{i}.downsample.conv.')
                    for i in (1, 2, 3)
                ),
                (r'\.attn\.sfc_h\.', '.token_mixing.width.'),
                (r'\.attn\.sfc_w\.', '.token_mixing.height.'),
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
            constants=(
                (r'(\.sfc_h)\.weight$', r'\1.offset', partial(_offsets, axis=1)),
                (r'(\.sfc_w)\.weight$', r'\1.offset', partial(_offsets, axis=0)),
            ),
            rearrangements=((r'\.(channel|projection|fc1|fc2)\.weight$', LINEAR),),
        ),
    )
    published_weights = tuple(
        PublishedWeights(
            name=f'cycle_mlp_{variant}.in1k',
            address='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/'
            f'CycleMLP_{variant.upper()}.pth',
            format='official CycleMLP (ShoufaChen/CycleMLP)',
            top1=top1,
            page='https://github.com/ShoufaChen/CycleMLP',
            licence='MIT',
        )
        for variant, top1 in (
            ('b1', 78.9),
            ('b2', 81.6),
            ('b3', 82.4),
            ('b4', 83.0),
            ('b5', 83.2),
        )
    )

    def build_stem(self) -> nn.Module:
        return OverlappingPatches(self.in_channels, self.arch.channels[0], 7, 4, 2)

    def levels(self) -> tuple[FeatureInfo, ...]:
        strides = (4, 8, 16, 32)
        return tuple(map(FeatureInfo, self.arch.channels, strides))

    def build_stage(self, stage: int) -> Stage:
        arch: CycleMLPArchitecture = self.arch
        channels = arch.channels[stage]
        blocks = [
            CycleBlock(channels, arch.mlp_ratios[stage], rate, self.norm_cfg)
            for rate in self.drop_path_rates()[stage]
        ]
        if stage == 0:
            return Stage(blocks)
        downsample = OverlappingPatches(arch.channels[stage - 1], channels, 3, 2, 1)
        return Stage(blocks, downsample=downsample)
