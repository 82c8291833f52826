"""Feature pyramid from a single feature map.

Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection" (ViTDet,
arXiv 2203.16527), section 3, "simple feature pyramid".
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional

from mmvmlp.backbones.arguments import as_integer, positive_integer
from mmvmlp.backbones.base import FeatureInfo
from mmvmlp.ops import build_norm, resampled
from mmvmlp.registry import MODELS


class Enlarge(nn.Sequential):
    """Transposed convolutions that each double height and width and halve the channels.

    Args:
        channels: Input channels.
        times: Number of transposed convolutions.
        norm_cfg: Norm between two of them, followed by a GELU.
    """

    def __init__(self, channels: int, times: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        for doubling in range(times):
            if doubling:
                self.append(build_norm(norm_cfg, channels))
                self.append(nn.GELU())
            self.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
            channels //= 2


class Reduce(nn.Module):
    """Repeated 2x2 max pooling with ceil mode.

    Args:
        times: Number of poolings.
    """

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool: (N, C, H, W) to (N, C, H / 2^times, W / 2^times), rounded up."""
        for _ in range(self.times):
            # Exported graphs with `max_pool2d` work for either even or odd sizes only, and an
            # infinite padding leaves quantisation no range.
            x = functional.pad(x, (0, 1, 0, 1), mode='replicate')
            x = torch.maximum(x[:, :, :-1:2], x[:, :, 1::2])
            x = torch.maximum(x[..., :-1:2], x[..., 1::2])
        return x


class Resample(nn.Module):
    """Linear interpolation, for strides that doubling and halving cannot reach.

    Args:
        step: Ratio of output stride to input stride.
    """

    def __init__(self, step: Fraction) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Interpolate: (N, C, H, W) to (N, C, H / step, W / step), rounded up."""
        x = x.permute(0, 2, 3, 1)
        return resampled(resampled(x, 1, self.step), 2, self.step).permute(0, 3, 1, 2)


@MODELS.register_module()
class SimplePyramid(BaseModule):
    """Builds feature maps of several strides from that of a single-stride backbone.

    The feature map is upsampled by transposed convolutions, kept, or downsampled by max pooling, as
    in ViTDet. If this cannot reach a stride, as with a patch size of 14, the result is
    interpolated, so that positions match those of anchors and RoIs. ViTDet's projections of each
    level are left to the next module, an FPN or a segmentation head.

    In a config: ``neck=[dict(type='mmvmlp.SimplePyramid', in_channels=384), dict(type='FPN',
    in_channels=[96, 192, 384, 384], out_channels=256, num_outs=5)]``, with ``out_indices=(-1,)``
    in the backbone.

    Args:
        in_channels: Channels of the backbone's feature map.
        stride: Stride of the backbone, the patch size in pixels.
        out_strides: Strides of the pyramid, from fine to coarse.
        norm_cfg: Norm between two transposed convolutions; by default layer norm.
        init_cfg: Initialisation of the weights by mmengine.

    Attributes:
        feature_info: Channels and stride of each level.

    Raises:
        ValueError: If an argument is not accepted.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int = 16,
        out_strides: Sequence[int] = (4, 8, 16, 32),
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        in_channels = positive_integer('in_channels', in_channels)
        stride = positive_integer('stride', stride)
        strides = self._resolve_strides(out_strides)
        norm_cfg = {'type': 'LN2d'} if norm_cfg is None else norm_cfg
        self.levels = nn.ModuleList()
        feature_info = []
        for out_stride in strides:
            doublings = round(math.log2(stride / out_stride))
            if in_channels % 2 ** max(0, doublings):
                raise ValueError(
                    f'in_channels={in_channels!r}: a multiple of {2**doublings} is accepted, since '
                    f'channels are halved {doublings} times from stride {stride} to {out_stride}'
                )
            level = nn.Sequential()
            if doublings > 0:
                level.append(Enlarge(in_channels, doublings, norm_cfg))
            step = Fraction(out_stride, stride) * Fraction(2) ** doublings
            if step != 1:
                level.append(Resample(step))
            if doublings < 0:
                level.append(Reduce(-doublings))
            self.levels.append(level)
            feature_info.append(FeatureInfo(in_channels // 2 ** max(0, doublings), out_stride))
        self.feature_info = tuple(feature_info)

    @staticmethod
    def _resolve_strides(out_strides: Sequence[int]) -> list[int]:
        given = out_strides if isinstance(out_strides, Sequence) else ()
        strides = [stride for stride in map(as_integer, given) if stride is not None]
        in_order = sorted(set(strides)) == strides
        if not strides or len(strides) < len(given) or strides[0] < 1 or not in_order:
            raise ValueError(
                f'out_strides={out_strides!r}: positive integers from fine to coarse are accepted'
            )
        return strides

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Build the pyramid.

        Args:
            maps: A sequence of one feature map (N, in_channels, H, W), as backbones emit it.

        Returns:
            Contiguous NCHW feature maps, one for each of ``out_strides``.

        Raises:
            ValueError: If the number of feature maps is not one.
        """
        if len(maps) != 1:
            raise ValueError(
                f'{len(maps)} maps: SimplePyramid takes one; set out_indices=(-1,) in the backbone'
            )
        return tuple(level(maps[0]).contiguous() for level in self.levels)
