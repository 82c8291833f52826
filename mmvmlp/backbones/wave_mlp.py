"""Wave-MLP: tokens as waves, whose phases tell how neighbours along H and W add up.

Source: Tang et al., "An Image Patch is a Wave: Phase-Aware Vision MLP" (arXiv 2111.12294);
official repository ggjy/Hire-Wave-MLP.pytorch, file ``wave_mlp.py``. Where the paper adds the real
and the imaginary part of each channel, the official code, which the published weights follow, mixes
real parts into the first half of the channels, and imaginary parts into the second half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.official_format import POINTWISE, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.ops import ChannelMLP, DropPath, SplitAttention, build_norm
from mmvmlp.ops.folding import channel_affine, pointwise_weights, split_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.ops.fused_linear import FusedLinear
from mmvmlp.ops.pointwise import pointwise
from mmvmlp.ops.split_attention import attended_projection
from mmvmlp.registry import MODELS

WINDOW = 7
"""Tokens that meet along an axis."""

Axis = Literal['height', 'width']


@dataclass(frozen=True)
class WaveMLPArchitecture(Architecture):
    """Wave-MLP architecture; tuples hold one value per stage.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, multiples of 4.
        mlp_ratios: Ratios of hidden channels of the channel MLPs to ``channels``.
        depthwise_phase: True to estimate phases from 3x3 neighbourhoods of each channel, False from
            all channels of a token.
        whole_map_norm: True for norms over an image's whole feature map, False for batch norms.
        stem_norm: True to normalise after the stem and after each downsampling.
    """

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = field(
        default=(64, 128, 320, 512), metadata={'multiple_of': 4}
    )
    mlp_ratios: tuple[float, float, float, float] = (4.0, 4.0, 4.0, 4.0)
    depthwise_phase: bool = False
    whole_map_norm: bool = True
    stem_norm: bool = True


class ConvNorm(nn.Module):
    """Convolution and norm: the stem, and the downsampling between stages.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of the kernel.
        stride: Stride of the kernel.
        padding: Zero padding at each border.
        norm_cfg: Norm; by default none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        norm_cfg: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.norm = nn.Identity() if norm_cfg is None else build_norm(norm_cfg, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the map: (N, in, H, W) to (N, out, ~H / stride, ~W / stride)."""
        normalised: torch.Tensor = self.norm(self.conv(x))
        return normalised


class PhaseAwareMixing(nn.Module):
    """Mixing of waves in a window along one axis.

    A token is a wave of an amplitude and a phase in each channel. Their real parts, amplitude ·
    cos(phase), and then their imaginary parts, amplitude · sin(phase), become 2C channels. Output
    channel c is a convolution of the channels 2c and 2c + 1.

    Source: equations 5-8; official class ``PATM``, ``fc_h``, ``theta_h_conv`` and ``tfc_h``.

    Args:
        channels: Number of channels C.
        axis: Axis along which tokens mix.
        depthwise_phase: True to estimate phases from 3x3 neighbourhoods of each channel.
        norm_cfg: Norm of the phases.
    """

    def __init__(
        self, channels: int, axis: Axis, depthwise_phase: bool, norm_cfg: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.amplitude = nn.Conv2d(channels, channels, 1, bias=False)
        self.phase = (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            if depthwise_phase
            else nn.Conv2d(channels, channels, 1)
        )
        self.phase_norm = build_norm(norm_cfg, channels)
        kernel, padding = (WINDOW, 1), (WINDOW // 2, 0)
        if axis == 'width':
            kernel, padding = kernel[::-1], padding[::-1]
        self.window = nn.Conv2d(
            2 * channels, channels, kernel, padding=padding, groups=channels, bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        phase = self.phase(x) if self.phase.groups > 1 else pointwise(self.phase, x)
        phase = functional.relu(self.phase_norm(phase))
        return mixed_waves(pointwise(self.amplitude, x), phase, self.window)


def mixed_waves(amplitude: torch.Tensor, phase: torch.Tensor, window: nn.Module) -> torch.Tensor:
    """Mix waves (N, C, H, W) by a convolution from 2C to C channels."""
    waves = torch.cat([amplitude * phase.cos(), amplitude * phase.sin()], 1)
    mixed: torch.Tensor = window(waves)
    return mixed


class WaveModule(nn.Module):
    """Token mixing: waves along W, waves along H, and channels; reweighted, and projected.

    Source: official class ``PATM``.

    Args:
        channels: Number of channels.
        depthwise_phase: True to estimate phases from 3x3 neighbourhoods of each channel.
        norm_cfg: Norms of the phases.
    """

    def __init__(self, channels: int, depthwise_phase: bool, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.width = PhaseAwareMixing(channels, 'width', depthwise_phase, norm_cfg)
        self.height = PhaseAwareMixing(channels, 'height', depthwise_phase, norm_cfg)
        self.channel = nn.Conv2d(channels, channels, 1, bias=False)
        self.reweight = SplitAttention(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (N, C, H, W) to (N, C, H, W)."""
        branches = self.width(x), self.height(x), pointwise(self.channel, x)
        return attended_projection(branches, self.reweight, self.projection)


class WaveBlock(nn.Module):
    """Token mixing and channel mixing, each in a pre-norm residual branch.

    Args:
        channels: Number of channels.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        depthwise_phase: True to estimate phases from 3x3 neighbourhoods of each channel.
        drop_path_rate: Stochastic depth of both branches.
        norm_cfg: Norms.
        phase_norm_cfg: Norms of the phases.
    """

    def __init__(
        self,
        channels: int,
        mlp_ratio: float,
        depthwise_phase: bool,
        drop_path_rate: float,
        norm_cfg: Mapping[str, Any],
        phase_norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, channels)
        self.token_mixing = WaveModule(channels, depthwise_phase, phase_norm_cfg)
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
        return FusedWaveBlock(self)


class FusedWaveBlock(FusedBlock):
    """Inference form of a block: one product for amplitudes, one for phases, norms folded.

    Phases of 3x3 neighbourhoods are padded with zeros, so the norm before them is not folded.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: WaveBlock) -> None:
        super().__init__()
        mixing = block.token_mixing
        dtype = mixing.projection.weight.dtype
        self.windows = nn.ModuleList([mixing.width.window, mixing.height.window])
        axes = (mixing.width, mixing.height)
        affines = [channel_affine(axis.phase_norm) for axis in axes]
        self.normalisation, gain, offset = split_norm(block.norm1)
        self.depthwise_phase = mixing.width.phase.groups > 1
        if self.depthwise_phase:
            self.normalisation, gain, offset = block.norm1, gain.new_ones(()), offset * 0
            self.phases: nn.Module = nn.ModuleList(
                fuse_conv_bn_eval(axis.phase, cast(_BatchNorm, axis.phase_norm)) for axis in axes
            )
        else:
            weights, biases = zip(*(pointwise_weights(axis.phase) for axis in axes), strict=True)
            scale, shift = (torch.cat(parts) for parts in zip(*affines, strict=True))
            weight, bias = torch.cat(weights), torch.cat(biases)
            bias = scale * (bias + weight @ offset) + shift
            self.phases = FusedLinear(weight * gain * scale[:, None], bias, dtype, 'relu')
        linear = [
            pointwise_weights(layer)[0]
            for layer in (mixing.width.amplitude, mixing.height.amplitude, mixing.channel)
        ]
        weight = torch.cat(linear)
        self.amplitudes = FusedLinear(weight * gain, weight @ offset, dtype)
        self.reweight = mixing.reweight
        self.projection = FusedLinear(*pointwise_weights(mixing.projection), dtype)
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        tokens, phases = self._depthwise(x) if self.depthwise_phase else self._pointwise(x)
        *amplitudes, channel = self.amplitudes(tokens).permute(0, 3, 1, 2).chunk(3, 1)
        branches = [*map(mixed_waves, amplitudes, phases, self.windows), channel]
        first, second, third = (branch.mean((2, 3)) for branch in branches)
        weights = self.reweight(first + second + third).to(x.dtype)
        first, second, third = (
            branch.permute(0, 2, 3, 1) * weight[:, None, None]
            for branch, weight in zip(branches, weights.unbind(2), strict=True)
        )
        x = self.projection(first + second + third, added=x)
        mixed: torch.Tensor = self.channel_mlp(x)
        return mixed

    def _pointwise(self, x: torch.Tensor) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Return the normalised tokens (N, H, W, C), and the phases (N, C, H, W)."""
        tokens = self.normalisation(x)
        return tokens, self.phases(tokens).permute(0, 3, 1, 2).chunk(2, 1)

    def _depthwise(self, x: torch.Tensor) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Return the normalised tokens (N, H, W, C), and the phases (N, C, H, W)."""
        maps = self.normalisation(x.permute(0, 3, 1, 2))
        phases = [functional.relu(phase(maps)) for phase in cast(nn.ModuleList, self.phases)]
        return maps.permute(0, 2, 3, 1), phases


@MODELS.register_module()
class WaveMLP(VisionMLP):
    """Wave-MLP: mixing of neighbouring tokens by amplitude and phase; size-free by design.

    Norms of ``'s'``, ``'m'`` and ``'b'`` span an image's whole feature map, so padding an image
    changes its maps everywhere.

    Args:
        arch: ``'t'`` (default), ``'t_dw'`` (T* in the paper), ``'s'``, ``'m'``, ``'b'``, or a
            mapping with the fields of :class:`WaveMLPArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``out_norm`` adds the norms of the
            official dense backbone (there ``norm0``, ``norm2``, ``norm4``, ``norm6``); ``norm_cfg``
            defaults to batch norm for ``'t_dw'`` and ``'t'``, and to group norm with a single group
            for the others. Phases always have batch norms, those of ``norm_cfg`` if it has any.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = WaveMLP("t", out_indices=(1, 2, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 96))]
        [(1, 128, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    variants = {
        't': WaveMLPArchitecture(depths=(2, 2, 4, 2), whole_map_norm=False),
        't_dw': WaveMLPArchitecture(
            depths=(2, 2, 4, 2), depthwise_phase=True, whole_map_norm=False
        ),
        's': WaveMLPArchitecture(depths=(2, 3, 10, 3)),
        'm': WaveMLPArchitecture(
            depths=(3, 4, 18, 3), mlp_ratios=(8.0, 8.0, 4.0, 4.0), stem_norm=False
        ),
        'b': WaveMLPArchitecture(
            depths=(2, 2, 18, 2), channels=(96, 192, 384, 768), stem_norm=False
        ),
    }
    smallest_variant = 't_dw'
    small_arch = {'depths': (2, 1, 2, 1), 'channels': (8, 12, 16, 20)}
    name_prefix = 'wave_mlp'
    title = 'Wave-MLP'
    paper = 'https://arxiv.org/abs/2111.12294'
    size_free = True
    official_formats = (
        OfficialFormat(
            name='official Wave-MLP (ggjy/Hire-Wave-MLP.pytorch)',
            signature='network.0.0.attn.tfc_h.weight',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                (r'^patch_embed\.norm\.', 'stem.norm.'),
                *((rf'^network\.{2 * i}\.(\d+)\.', rf'stages.{i}.blocks.\1.') for i in range(4)),
                *(
                    (rf'^network\.{2 * i - 1}\.{official}\.', f'stages.{i}.downsample.{ours}.')
                    for i in (1, 2, 3)
                    for official, ours in (('proj', 'conv'), ('norm', 'norm'))
                ),
                *(
                    (rf'\.attn\.{official}', f'.token_mixing.{axis}.{layer}.')
                    # The official h branch mixes along W.
                    for letter, axis in (('h', 'width'), ('w', 'height'))
                    for official, layer in (
                        (rf'fc_{letter}\.', 'amplitude'),
                        (rf'theta_{letter}_conv\.0\.', 'phase'),
                        (rf'theta_{letter}_conv\.1\.', 'phase_norm'),
                        (rf'tfc_{letter}\.', 'window'),
                    )
                ),
                (r'\.attn\.fc_c\.', '.token_mixing.channel.'),
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
            rearrangements=((r'\.reweight\.[02]\.weight$', POINTWISE),),
        ),
    )
    published_weights = (
        *(
            PublishedWeights(
                name=f'wave_mlp_{variant}.in1k',
                address='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/'
                f'WaveMLP_{file}.pth.tar',
                format='official Wave-MLP (ggjy/Hire-Wave-MLP.pytorch)',
                top1=top1,
                page='https://github.com/ggjy/Hire-Wave-MLP.pytorch',
                licence='MIT by its badge; without a licence file',
            )
            for variant, file, top1 in (
                ('t', 'T', 80.9),
                ('t_dw', 'T_dw', 80.1),
                ('s', 'S', 82.9),
                ('m', 'M', 83.3),
            )
        ),
        PublishedWeights(
            name='wave_mlp_b.in1k',
            address=None,
            format='',
            top1=83.6,
            page='https://github.com/ggjy/Hire-Wave-MLP.pytorch',
            licence='',
            reason='the weights of Wave-MLP-B were never released',
        ),
    )

    @property
    def default_norm_cfg(self) -> Mapping[str, Any]:
        """Norm layers of the published network."""
        return {'type': 'GN1' if self.arch.whole_map_norm else 'BN'}

    def build_stem(self) -> nn.Module:
        return self._downsampling(self.in_channels, self.arch.channels[0], 7, 4, 2)

    def levels(self) -> tuple[FeatureInfo, ...]:
        strides = (4, 8, 16, 32)
        return tuple(map(FeatureInfo, self.arch.channels, strides))

    def build_stage(self, stage: int) -> Stage:
        arch: WaveMLPArchitecture = self.arch
        channels = arch.channels[stage]
        # All official variants have batch norms here; `norm_cfg` may make them synchronous.
        is_batch_norm = isinstance(build_norm(self.norm_cfg, channels), _BatchNorm)
        phase_norm_cfg = self.norm_cfg if is_batch_norm else {'type': 'BN'}
        blocks = [
            WaveBlock(
                channels,
                arch.mlp_ratios[stage],
                arch.depthwise_phase,
                rate,
                self.norm_cfg,
                phase_norm_cfg,
            )
            for rate in self.drop_path_rates()[stage]
        ]
        if stage == 0:
            return Stage(blocks)
        downsample = self._downsampling(arch.channels[stage - 1], channels, 3, 2, 1)
        return Stage(blocks, downsample=downsample)

    def _downsampling(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int
    ) -> ConvNorm:
        norm_cfg = self.norm_cfg if self.arch.stem_norm else None
        return ConvNorm(in_channels, out_channels, kernel_size, stride, padding, norm_cfg)
