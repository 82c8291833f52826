"""Feature pyramid from one feature map, or from a few.

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
    """Builds feature maps of strides 4-32 from those of a backbone with one or two other strides.

    A feature map is upsampled by transposed convolutions, kept, or downsampled by max pooling, as
    in ViTDet. If this cannot reach a stride, as with a patch size of 14, the result is
    interpolated, so that positions match those of anchors and RoIs. ViTDet's projections of each
    level are left to the next module, an FPN or a segmentation head. Of several feature maps, each
    level is built from the one of the nearest stride.

    In a config: ``neck=[dict(type='mmvmlp.SimplePyramid', in_channels=384), dict(type='FPN',
    in_channels=[96, 192, 384, 384], out_channels=256, num_outs=5)]``, with ``out_indices=(-1,)``
    in the backbone. For a backbone of two strides: ``in_channels=(192, 384), stride=(7, 14)``, with
    the last level of each stride in ``out_indices``.

    Args:
        in_channels: Channels of the backbone's feature map, or of each of them.
        stride: Stride of the feature map in pixels, or of each of them, from fine to coarse.
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
        in_channels: int | Sequence[int],
        stride: int | Sequence[int] = 16,
        out_strides: Sequence[int] = (4, 8, 16, 32),
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        maps = self._resolve_maps(in_channels, stride)
        strides = _ascending('out_strides', out_strides)
        norm_cfg = {'type': 'LN2d'} if norm_cfg is None else norm_cfg
        self.num_maps = len(maps)
        self.sources = []
        self.levels = nn.ModuleList()
        feature_info = []
        for out_stride in strides:
            octaves = [math.log2(info.stride / out_stride) for info in maps]
            # The coarser one of two equally near, since it comes later in the backbone.
            source = min(range(len(maps)), key=lambda index: (abs(octaves[index]), -index))
            self.sources.append(source)
            channels, doublings = maps[source].channels, round(octaves[source])
            if channels % 2 ** max(0, doublings):
                raise ValueError(
                    f'in_channels={channels!r}: a multiple of {2**doublings} is accepted, since '
                    f'channels are halved {doublings} times from stride {maps[source].stride} to '
                    f'{out_stride}'
                )
            level = nn.Sequential()
            if doublings > 0:
                level.append(Enlarge(channels, doublings, norm_cfg))
            step = Fraction(out_stride, maps[source].stride) * Fraction(2) ** doublings
            if step != 1:
                level.append(Resample(step))
            if doublings < 0:
                level.append(Reduce(-doublings))
            self.levels.append(level)
            feature_info.append(FeatureInfo(channels // 2 ** max(0, doublings), out_stride))
        self.feature_info = tuple(feature_info)
        unused = [info.stride for index, info in enumerate(maps) if index not in self.sources]
        if unused:
            raise ValueError(
                f'stride={stride!r}: every one must be the nearest to one of the '
                f'out_strides={out_strides!r}; leave out {unused}'
            )

    @staticmethod
    def _resolve_maps(
        in_channels: int | Sequence[int], stride: int | Sequence[int]
    ) -> list[FeatureInfo]:
        if not any(isinstance(each, (list, tuple)) for each in (in_channels, stride)):
            channels = positive_integer('in_channels', in_channels)
            return [FeatureInfo(channels, positive_integer('stride', stride))]
        strides = _ascending('stride', stride)
        given = in_channels if isinstance(in_channels, (list, tuple)) else ()
        if len(given) != len(strides):
            raise ValueError(
                f'in_channels={in_channels!r}: a sequence of {len(strides)} positive integers is '
                'accepted, one for each stride'
            )
        return [
            FeatureInfo(positive_integer('in_channels', each), stride)
            for each, stride in zip(given, strides, strict=True)
        ]

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Build the pyramid.

        Args:
            maps: Feature maps (N, C, H, W), one for each of ``stride``, as backbones emit them.

        Returns:
            Contiguous NCHW feature maps, one for each of ``out_strides``.

        Raises:
            ValueError: If the number of feature maps is another.
        """
        if len(maps) != self.num_maps:
            expected = (
                'one; set out_indices=(-1,) in the backbone'
                if self.num_maps == 1
                else f'{self.num_maps}; set as many out_indices in the backbone'
            )
            raise ValueError(f'{len(maps)} maps: SimplePyramid takes {expected}')
        return tuple(
            level(maps[source]).contiguous()
            for level, source in zip(self.levels, self.sources, strict=True)
        )


def _ascending(name: str, value: object) -> list[int]:
    """Convert ascending positive integers to a list of int."""
    given = value if isinstance(value, Sequence) else ()
    integers = [integer for integer in map(as_integer, given) if integer is not None]
    in_order = sorted(set(integers)) == integers
    if not integers or len(integers) < len(given) or integers[0] < 1 or not in_order:
        raise ValueError(f'{name}={value!r}: positive integers from fine to coarse are accepted')
    return integers
