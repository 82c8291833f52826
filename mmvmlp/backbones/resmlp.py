"""ResMLP: one linear layer across all patches, and channel MLPs, without normalisation.

Source: Touvron et al., "ResMLP: Feedforward networks for image classification with data-efficient
training" (arXiv 2105.03404); official repository facebookresearch/deit, file
``resmlp_models.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from mmvmlp.backbones.official_format import CHANNELS_LAST_VECTOR, LINEAR, OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights, hub_file
from mmvmlp.backbones.single_stride import FixedSizeArchitecture, SingleStrideMLP
from mmvmlp.ops import ChannelMLP, DenseMixing, DropPath, LayerScale, Resolution, build_norm
from mmvmlp.ops.folding import split_norm
from mmvmlp.ops.fused_block import FusedBlock
from mmvmlp.ops.fused_channel_mlp import FusedChannelMLP
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class ResMLPArchitecture(FixedSizeArchitecture):
    """ResMLP architecture.

    Attributes:
        depth: Number of blocks.
        channels: Number of channels.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        image_size: Native image size: side of a square in pixels.
        layer_scale: Initial value of LayerScale in both branches.
        token_mixing: Mixing across patches: one linear layer; ``'mlp'`` for two with a GELU in
            between and four times the patches as hidden ones, whose weights cannot be resampled
            for other native sizes; or ``'none'``.
    """

    layer_scale: float = 0.1
    token_mixing: Literal['linear', 'mlp', 'none'] = 'linear'

    @property
    def hidden_tokens(self) -> int | None:
        """Outputs of the first of two linear layers across patches; None for one layer."""
        return 4 * self.tokens_per_side**2 if self.token_mixing == 'mlp' else None


class ResMLPBlock(nn.Module):
    """A linear layer across patches and channel mixing, each in a residual branch.

    Source: equations 2 and 3; official class ``layers_scale_mlp_blocks``.

    Args:
        arch: Architecture of the network.
        drop_path_rate: Stochastic depth of both branches.
        resolution: Image-size policy.
        norm_cfg: Affine layers, or the ablation's layer norms.
    """

    def __init__(
        self,
        arch: ResMLPArchitecture,
        drop_path_rate: float,
        resolution: Resolution,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.mixes_tokens = arch.token_mixing != 'none'
        if self.mixes_tokens:
            self.norm1 = build_norm(norm_cfg, arch.channels)
            self.token_mixing = DenseMixing(arch.tokens_per_side, resolution, arch.hidden_tokens)
            self.scale1 = LayerScale(arch.channels, arch.layer_scale)
        self.norm2 = build_norm(norm_cfg, arch.channels)
        self.channel_mlp = ChannelMLP(arch.channels, arch.mlp_ratio)
        self.scale2 = LayerScale(arch.channels, arch.layer_scale)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens, then channels: (N, C, H, W) to (N, C, H, W)."""
        if self.mixes_tokens:
            x = x + self.drop_path(self.scale1(self.token_mixing(self.norm1(x))))
        x = x + self.drop_path(self.scale2(self.channel_mlp(self.norm2(x))))
        return x

    def fused(self) -> nn.Module:
        """Return the inference form."""
        return FusedResMLPBlock(self)


class FusedResMLPBlock(FusedBlock):
    """Inference form of a block: affine layers, LayerScale and residual additions are folded.

    Args:
        block: The block.

    Raises:
        ValueError: If a norm cannot be folded.
    """

    def __init__(self, block: ResMLPBlock) -> None:
        super().__init__()
        dtype = block.scale2.weight.dtype
        self.mixes_tokens = block.mixes_tokens
        if self.mixes_tokens:
            self.normalisation, gain, offset = split_norm(block.norm1)
            self.gain = nn.Parameter(gain.to(dtype))
            self.offset = nn.Parameter(offset.to(dtype))
            self.token_mixing = block.token_mixing
            self.scale = nn.Parameter(block.scale1.weight.clone())
        self.channel_mlp = FusedChannelMLP(block.norm2, block.channel_mlp, block.scale2)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        if self.mixes_tokens:
            normalised = self.normalisation(x)
            affine = torch.addcmul(self.offset, normalised, self.gain).to(x.dtype)
            mixed = self.token_mixing(affine.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            x = torch.addcmul(x, mixed, self.scale.to(x.dtype))
        mixed_channels: torch.Tensor = self.channel_mlp(x)
        return mixed_channels


@MODELS.register_module()
class ResMLP(SingleStrideMLP):
    """ResMLP: a linear layer across all patches; other image sizes require an image-size policy.

    Args:
        arch: ``'s12'`` (default), ``'s24'``, ``'s36'``, ``'b24'`` with patch size 16,
            ``'s12_p8'``, ``'b24_p8'`` with patch size 8, or a mapping with the fields of
            :class:`ResMLPArchitecture`. The checkpoints published as B24 are ``'b24_p8'``.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`. ``norm_cfg`` defaults to affine layers
            (layer norms, ``LN2d``, in an ablation); the drop path rate is constant, as in the
            official code.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.

    Example:
        >>> backbone = ResMLP("s12", out_indices=(1, 3))
        >>> [tuple(level.shape) for level in backbone(torch.zeros(1, 3, 64, 100))]
        [(1, 384, 4, 7), (1, 384, 4, 7)]
    """

    variants = {
        's12': ResMLPArchitecture(depth=12, channels=384),
        's24': ResMLPArchitecture(depth=24, channels=384, layer_scale=1e-5),
        's36': ResMLPArchitecture(depth=36, channels=384, layer_scale=1e-6),
        'b24': ResMLPArchitecture(depth=24, channels=768, layer_scale=1e-6),
        's12_p8': ResMLPArchitecture(depth=12, channels=384, patch_size=8),
        'b24_p8': ResMLPArchitecture(depth=24, channels=768, patch_size=8, layer_scale=1e-6),
    }
    smallest_variant = 's12'
    small_arch = {'depth': 5, 'channels': 8, 'image_size': 64}
    name_prefix = 'resmlp'
    title = 'ResMLP'
    paper = 'https://arxiv.org/abs/2105.03404'
    size_free = False
    has_constant_drop_path = True
    default_norm_cfg = {'type': 'Affine'}
    official_formats = (
        OfficialFormat(
            name='official ResMLP (facebookresearch/deit)',
            signature='blocks.0.gamma_1',
            renamings=(
                (r'^patch_embed\.proj\.', 'stem.conv.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
                (r'\.gamma_(\d)$', r'.scale\1.weight'),
                (r'(norm\d)\.alpha$', r'\1.weight'),
                (r'(norm\d)\.beta$', r'\1.bias'),
                (r'\.attn\.', '.token_mixing.fc1.'),
                (r'\.mlp\.', '.channel_mlp.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=((r'\.channel_mlp\.fc\d\.weight$', LINEAR),),
        ),
        OfficialFormat(
            name="timm's ResMLP",
            signature='blocks.0.linear_tokens.weight',
            renamings=(
                (r'^stem\.proj\.', 'stem.conv.'),
                (r'^norm\.', 'norm3.'),
                (r'^head\.', 'head.fc.'),
                (r'\.ls(\d)$', r'.scale\1.weight'),
                (r'(norm\d)\.alpha$', r'\1.weight'),
                (r'(norm\d)\.beta$', r'\1.bias'),
                (r'\.linear_tokens\.', '.token_mixing.fc1.'),
                (r'\.mlp_channels\.', '.channel_mlp.'),
            ),
            classifier_keys=r'^(norm|head)\.',
            rearrangements=(
                (r'\.channel_mlp\.fc\d\.weight$', LINEAR),
                # timm stores the affine layers' vectors as (1, 1, C).
                (r'norm\d\.(weight|bias)$', CHANNELS_LAST_VECTOR),
            ),
        ),
    )

    published_weights = (
        *(
            PublishedWeights(
                name=f'resmlp_{variant}.in1k',
                address=hub_file(f'timm/{model}.fb_in1k'),
                format="timm's ResMLP",
                top1=top1,
                page=f'https://huggingface.co/timm/{model}.fb_in1k',
                licence='Apache-2.0',
            )
            for variant, model, top1 in (
                ('s12', 'resmlp_12_224', 76.66),
                ('s24', 'resmlp_24_224', 79.38),
                ('s36', 'resmlp_36_224', 79.772),
                ('b24_p8', 'resmlp_big_24_224', 81.034),
            )
        ),
        *(
            PublishedWeights(
                name=f'resmlp_{variant}.{tag}',
                address=f'https://dl.fbaipublicfiles.com/deit/{file}.pth',
                format='official ResMLP (facebookresearch/deit)',
                top1=top1,
                page='https://github.com/facebookresearch/deit/blob/main/README_resmlp.md',
                licence='Apache-2.0',
                training_data=training_data,
                distilled=tag == 'distilled_in1k',
            )
            for variant, tag, file, top1, training_data in (
                ('s12', 'distilled_in1k', 'resmlp_12_dist', 77.8, 'ImageNet-1k'),
                ('s24', 'distilled_in1k', 'resmlp_24_dist', 80.8, 'ImageNet-1k'),
                ('s36', 'distilled_in1k', 'resmlp_36_dist', 81.0, 'ImageNet-1k'),
                ('b24_p8', 'distilled_in1k', 'resmlpB_24_dist', 83.6, 'ImageNet-1k'),
                ('b24_p8', 'in21k_ft_in1k', 'resmlpB_24_22k', 84.4, 'ImageNet-21k, ImageNet-1k'),
                ('s12', 'dino', 'resmlp_12_dino', None, 'ImageNet-1k, without labels (DINO)'),
                ('s24', 'dino', 'resmlp_24_dino', None, 'ImageNet-1k, without labels (DINO)'),
            )
        ),
        *(
            PublishedWeights(
                name=f'resmlp_{variant}.in1k',
                address=None,
                format='',
                top1=top1,
                page='https://github.com/facebookresearch/deit/blob/main/README_resmlp.md',
                licence='',
                reason=f'the weights of ResMLP-{title} were never released',
            )
            for variant, title, top1 in (
                ('b24', 'B24 with patch size 16', 81.0),
                ('s12_p8', 'S12 with patch size 8', 79.1),
            )
        ),
    )

    def build_block(self, drop_path_rate: float) -> nn.Module:
        return ResMLPBlock(self.arch, drop_path_rate, self.resolution, self.norm_cfg)
