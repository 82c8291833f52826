"""Sizes of the images of an exported model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from mmvmlp.backbones.base import find_backbone

PYRAMID_STRIDE = 32
"""Largest stride of most necks and heads."""


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the images that a network accepts.

    Attributes:
        minimum: Smallest height and width in pixels.
        traced_minimum: Smallest height and width that a model is traced for. One position, region
            or window alone is another layout for PyTorch, and another graph: a ``torch.export``
            program asserts this size. In other runtimes the operators hold for smaller ones too.
        fixed: Height and width, if only one size is accepted.
        channels: Channels of the images.
    """

    minimum: int
    traced_minimum: int
    fixed: int | None = None
    channels: int = 3

    @classmethod
    def of(cls, model: nn.Module) -> ImageSizes:
        """Return the sizes that a model accepts.

        Args:
            model: A :class:`VisionMLP`, or a model whose ``backbone`` is one.

        Raises:
            TypeError: If it is neither.
        """
        backbone, _ = find_backbone(model)
        policy = None if backbone.size_free else backbone.resolution
        traced = 3 * max(PYRAMID_STRIDE, backbone.minimum_size)
        return cls(
            backbone.minimum_size,
            max(traced, backbone.arch.image_size + 1) if policy == 'window' else traced,
            backbone.arch.image_size if policy == 'native' else None,
            backbone.in_channels,
        )

    def for_strides(self, strides: Iterable[int]) -> ImageSizes:
        """Return the same, for outputs of some strides: none of them is traced as one position."""
        return replace(self, traced_minimum=max(self.traced_minimum, 3 * max(strides)))

    def example(self) -> torch.Tensor:
        """Return images to trace a model with."""
        return self._images(2, self.traced_minimum + 5, 2 * self.traced_minimum + 2)

    def unseen(self) -> list[torch.Tensor]:
        """Return images of other sizes and batches than the example."""
        return [
            self._images(1, self.minimum, self.minimum),
            self._images(3, 3 * self.minimum + 1, 2 * self.minimum - 1),
        ]

    def of_strides(self) -> torch.Tensor:
        """Return an image whose height is a multiple of all strides."""
        return self._images(1, 64 * self.minimum, self.minimum)

    def _images(self, batch: int, height: int, width: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(height)
        sides = (height, width) if self.fixed is None else (self.fixed, self.fixed)
        return torch.randn(batch, self.channels, *sides, generator=generator)
