"""The maps of a feature pyramid, side by side."""

from typing import Any

import torch
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.inspection.figures import Panel

CHANNELS_SHOWN = 6


@torch.no_grad()
def feature_pyramid(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the maps that a model's head gets; of a classifier or a backbone, its levels.

    Args:
        model: A model with a backbone of this package, or such a backbone, in evaluation mode.
        images: (N, channels, H, W).
    """
    backbone, _ = find_backbone(model)
    extract: Any = getattr(model, 'extract_feat', backbone)
    maps = extract(images)
    is_pyramid = isinstance(maps, (tuple, list)) and all(each.ndim == 4 for each in maps)
    return tuple(maps) if is_pyramid else tuple(backbone(images))


def pyramid_panels(maps: tuple[torch.Tensor, ...], pictures: torch.Tensor) -> list[Panel]:
    """Return a row of panels for each image and level.

    A row has the image, the root mean square over all channels, and the channels that vary most in
    the image, each map from its lowest to its highest value.

    Args:
        maps: (N, channels, H, W) by level.
        pictures: The images as they are shown, (N, H, W, 3), RGB, uint8.
    """
    panels = []
    for number, picture in enumerate(pictures):
        for level, of_level in enumerate(maps, start=1):
            features = of_level[number].float()
            height, width = features.shape[1:]
            panels.append(Panel(f'level {level}, {height}×{width}', picture))
            panels.append(Panel('all channels', _stretched(features.square().mean(0).sqrt())))
            varied = features.flatten(1).std(1).topk(min(CHANNELS_SHOWN, len(features))).indices
            for channel in varied.tolist():
                panels.append(Panel(f'channel {channel}', _stretched(features[channel])))
    return panels


def _stretched(values: torch.Tensor) -> torch.Tensor:
    lowest, highest = values.min(), values.max()
    return (values - lowest) / (highest - lowest).clamp(min=1e-12)
