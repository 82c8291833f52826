"""MLP-Mixer: an MLP across all patches, then one across channels.

Source: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision" (arXiv 2105.01601);
official repository google-research/vision_transformer, file ``vit_jax/models_mixer.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mmvmlp.backbones.official_format import (
    FLAX_CONVOLUTION,
    LINEAR,
    TRANSPOSED_LINEAR,
    OfficialFormat,
)
from mmvmlp.backbones.published_weights import PublishedWeights, hub_file
from mmvmlp.backbones.single_stride import FixedSizeArchitecture, SingleStrideMLP
from mmvmlp.ops import ChannelMLP, DenseMixing, DropPath, Resolution, build_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class MLPMixerArchitecture(FixedSizeArchitecture):
    """MLP-Mixer architecture.

    Attributes:
        depth: Number of blocks.
        channels: Number of channels.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        image_size: Native image size: side of a square in pixels.
        token_mlp_ratio: Ratio of hidden tokens of the token MLP to ``channels``.
    """

    token_mlp_ratio: float = 0.5

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.hidden_tokens < 1:
            raise ValueError(
                f'arch field token_mlp_ratio={self.token_mlp_ratio!r}: at least 1/{self.channels} '
                f'is accepted with {self.channels} channels'
            )

    @property
    def hidden_tokens(self) -> int:
        """Hidden tokens of the token MLP."""
        return int(self.channels * self.token_mlp_ratio)


class MLPMixerBlock(nn.Module):
    """Token mixing and channel mixing, each in a pre-norm residual branch.

    Source: equation 1.

    Args:
        arch: Architecture of the network.
        drop_path_rate: Stochastic depth of both branches.
        resolution: Image-size policy.
        norm_cfg: Norms.
    """

    def __init__(
        self,
        arch: MLPMixerArchitecture,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, arch.channels)
        self.token_mixing = DenseMixing(arch.tokens_per_side, resolution, arch.hidden_tokens)
        self.norm2 = build_norm(norm_cfg, arch.channels)
        self.channel_mlp = ChannelMLP(arch.channels, arch.mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        x = x + self.drop_path(self.token_mixing(self.norm1(x)))
        x = x + self.drop_path(self.channel_mlp(self.norm2(x)))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedMLPMixerBlock(self)


class FusedMLPMixerBlock(FusedBlock):
    """Inference form of a block: the norm of the channel mixing and its addition are folded.

    Args:
        block: The block.

    Raises:
        ValueError: If the norm cannot be folded.
    """

    def __init__(self, block: MLPMixerBlock) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.token_mixing = block.token_mixing
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.token_mixing(self.norm1(x.permute(0, 3, 1, 2)))
        mixed_channels: torch.Tensor = self.channel_mlp(x + mixed.permute(0, 2, 3, 1))
        return mixed_channels


_POINTWISE = r'\.fc\d\.weight$'


@MODELS.register_module()
class MLPMixer(SingleStrideMLP):
    """MLP-Mixer: an MLP across all patches; other image sizes require an image-size policy.

    Args:
        arch: ``'s32'``, ``'s16'`` (default), ``'b32'``, ``'b16'``, ``'l32'``, ``'l16'``,
            ``'h14'``, or a mapping with the fields of :class:`MLPMixerArchitecture`.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to layer norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = MLPMixer("s16", out_indices=(3,))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 512, 4, 7)]
    """

    variants = {
        's16': MLPMixerArchitecture(depth=8, channels=512),
        's32': MLPMixerArchitecture(depth=8, channels=512, patch_size=32),
        'b16': MLPMixerArchitecture(depth=12, channels=768),
        'b32': MLPMixerArchitecture(depth=12, channels=768, patch_size=32),
        'l16': MLPMixerArchitecture(depth=24, channels=1024),
        'l32': MLPMixerArchitecture(depth=24, channels=1024, patch_size=32),
        'h14': MLPMixerArchitecture(depth=32, channels=1280, patch_size=14),
    }
    smallest_variant = 's16'
    small_arch = {'depth': 6, 'channels': 8, 'patch_size': 8, 'image_size': 64}
    name_prefix = 'mlp_mixer'
    title = 'MLP-Mixer'
    paper = 'https://arxiv.org/abs/2105.01601'
    size_free = False
    default_norm_cfg = {'type': 'LN2d', 'eps': 1e-6}
    official_formats = (
        OfficialFormat(
            name="Google's MLP-Mixer (google-research/vision_transformer)",
            signature='MixerBlock_0/token_mixing/Dense_0/kernel',
            renamings=(
                ('/', '.'),
                (r'^stem\.', 'stem.conv.'),
                (r'^pre_head_layer_norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
                (r'^MixerBlock_(\d+)\.', r'blocks.\1.'),
                (r'\.LayerNorm_0\.', '.norm1.'),
                (r'\.LayerNorm_1\.', '.norm2.'),
                (r'\.channel_mixing\.', '.channel_mlp.'),
                (r'\.Dense_0\.', '.fc1.'),
                (r'\.Dense_1\.', '.fc2.'),
                (r'(norm\d)\.scale$', r'\1.weight'),
                (r'\.kernel$', '.weight'),
            ),
            classifier_keys=r'^(pre_head_layer_norm|head)/',
            rearrangements=(
                (r'^stem\.conv\.weight$', FLAX_CONVOLUTION),
                (_POINTWISE, TRANSPOSED_LINEAR),
                (r'^head\.fc\.weight$', TRANSPOSED_LINEAR),
            ),
        ),
        OfficialFormat(
            name="timm's MLP-Mixer",
            signature='blocks.0.mlp_tokens.fc1.weight',
            renamings=(
                (r'^stem\.proj\.', 'stem.conv.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
                (r'\.mlp_tokens\.', '.token_mixing.'),
                (r'\.mlp_channels\.', '.channel_mlp.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=((_POINTWISE, LINEAR),),
        ),
        OfficialFormat(
            name="mmpretrain's MlpMixer",
            signature='layers.0.token_mix.layers.0.0.weight',
            renamings=(
                (r'^patch_embed\.projection\.', 'stem.conv.'),
                (r'^ln1\.', 'norm3.'),
                (r'^layers\.(\d+)\.', r'blocks.\1.'),
                (r'\.ln(\d)\.', r'.norm\1.'),
                (r'\.token_mix\.', '.token_mixing.'),
                (r'\.channel_mix\.', '.channel_mlp.'),
                (r'\.layers\.0\.0\.', '.fc1.'),
                (r'\.layers\.1\.', '.fc2.'),
            ),
            classifier_keys=r'^((backbone\.)?ln1|head)\.',
            rearrangements=((_POINTWISE, LINEAR),),
            in_model=True,
        ),
    )

    published_weights = (
        *(
            PublishedWeights(
                name=f'mlp_mixer_{variant}.{tag}',
                address=hub_file(f'timm/mixer_{variant}_224.{tag}'),
                format="timm's MLP-Mixer",
                top1=top1,
                page=f'https://huggingface.co/timm/mixer_{variant}_224.{tag}',
                licence='Apache-2.0',
                training_data=training_data,
                classes=classes,
            )
            for variant, tag, top1, classes, training_data in (
                # The tag says otherwise, but the accuracies are the paper's from scratch.
                ('b16', 'goog_in21k_ft_in1k', 76.616, 1000, 'ImageNet-1k'),
                ('l16', 'goog_in21k_ft_in1k', 72.084, 1000, 'ImageNet-1k'),
                ('b16', 'goog_in21k', None, 21843, 'ImageNet-21k'),
                ('l16', 'goog_in21k', None, 21843, 'ImageNet-21k'),
                ('b16', 'miil_in21k_ft_in1k', 82.314, 1000, 'ImageNet-21k, ImageNet-1k'),
                ('b16', 'miil_in21k', None, 11221, 'ImageNet-21k'),
            )
        ),
        *(
            PublishedWeights(
                name=f'mlp_mixer_{variant}.google_in1k',
                address=f'https://storage.googleapis.com/mixer_models/imagenet1k/{file}.npz',
                format="Google's MLP-Mixer (google-research/vision_transformer)",
                top1=top1,
                page='https://github.com/google-research/vision_transformer',
                licence='Apache-2.0',
            )
            for variant, file, top1 in (('b16', 'Mixer-B_16', 76.44), ('l16', 'Mixer-L_16', 71.76))
        ),
        *(
            PublishedWeights(
                name=f'mlp_mixer_{variant}.jft300m',
                address=None,
                format='',
                top1=top1,
                page='https://github.com/google-research/vision_transformer',
                licence='',
                training_data='JFT-300M',
                reason=f'the weights of MLP-Mixer-{title} trained on JFT-300M were never released',
            )
            for variant, title, top1 in (
                ('s16', 'S/16', 73.83),
                ('s32', 'S/32', 68.70),
                ('b32', 'B/32', 75.53),
                ('l32', 'L/32', 80.67),
                ('h14', 'H/14', 86.32),
            )
        ),
    )

    def build_block(self, drop_path_rate: float) -> nn.Module:
        return MLPMixerBlock(self.arch, drop_path_rate, self.resolution, self.norm_cfg)
