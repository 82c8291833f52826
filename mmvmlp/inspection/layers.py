"""The layers of a backbone, one after the other, and their outputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from mmvmlp.backbones.base import VisionMLP


@dataclass(frozen=True)
class Layer:
    """A stem, a downsampling or a block: each takes the map of the one before it.

    Attributes:
        name: Name of the module in the backbone.
        title: Name for people, with stages and blocks counted from 1.
        module: The module.
    """

    name: str
    title: str
    module: nn.Module

    @property
    def is_block(self) -> bool:
        """True for a block."""
        return '.blocks.' in self.name


def layers_of(backbone: VisionMLP) -> list[Layer]:
    """Return the layers of a backbone in their order.

    Raises:
        ValueError: If the backbone is fused, and its blocks are not those of its family.
    """
    if backbone.is_fused:
        raise ValueError(
            f'backbone is a fused {type(backbone).__name__}: inspect the network it was made from'
        )
    return list(_layers(backbone))


def _layers(backbone: VisionMLP) -> Iterator[Layer]:
    yield Layer('stem', 'stem', backbone.stem)
    for number, stage in enumerate(backbone._built_stages()):
        name, title = f'stages.{number}', f'stage {number + 1}'
        if not isinstance(stage.downsample, nn.Identity):
            yield Layer(f'{name}.downsample', f'{title}, entry', stage.downsample)
        for index, block in enumerate(stage.blocks):
            yield Layer(f'{name}.blocks.{index}', f'{title}, block {index + 1}', block)


def stage_ends(layers: list[Layer]) -> list[int]:
    """Return for each stage how many layers there are up to its last one."""
    ends: dict[str, int] = {}
    for number, layer in enumerate(layers, start=1):
        part, _, rest = layer.name.partition('.')
        if part == 'stages':
            ends[rest.partition('.')[0]] = number
    return list(ends.values())


def outputs_of(
    backbone: VisionMLP, layers: list[Layer], images: torch.Tensor
) -> list[torch.Tensor]:
    """Return the output of each layer, (N, channels, H, W), for images.

    Args:
        backbone: The backbone.
        layers: Its layers.
        images: (N, in_channels, H, W).

    Raises:
        TypeError: If the images have another dtype than the weights.
        ValueError: If the images are too small, or have another size than a network with
            ``resolution='native'``.
    """
    backbone._check_images(images)
    x, outputs = images, []
    for layer in layers:
        x = layer.module(x)
        outputs.append(x)
    return outputs
