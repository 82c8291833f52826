"""Measure what lower precision costs: the error of a backbone's outputs against float32."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.deploy.fuse import fuse

LARGEST_ERRORS = {'bfloat16': 0.03, 'float16': 0.004}
"""Largest relative error that is accepted of any network, by data type."""


@dataclass(frozen=True)
class Precision:
    """A way to compute in 16 bits.

    Attributes:
        dtype: ``'bfloat16'`` or ``'float16'``.
        in_weights: True to convert all weights, False for autocast.
    """

    dtype: str
    in_weights: bool

    @torch.no_grad()
    def run(self, backbone: VisionMLP, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a backbone, which is left unchanged.

        Args:
            backbone: In float32 and evaluation mode.
            images: (N, 3, H, W) in float32, normalised.

        Returns:
            Its feature maps, in the lower precision.
        """
        dtype: torch.dtype = getattr(torch, self.dtype)
        if self.in_weights:
            maps: tuple[torch.Tensor, ...] = copy.deepcopy(backbone).to(dtype)(images.to(dtype))
            return maps
        with torch.autocast(images.device.type, dtype):
            maps = backbone(images)
        return maps


PRECISIONS = tuple(
    Precision(dtype, in_weights) for dtype in LARGEST_ERRORS for in_weights in (False, True)
)


@dataclass(frozen=True)
class PrecisionError:
    """Errors of a network relative to its outputs in float32, in the Euclidean norm.

    Attributes:
        precision: How it computed.
        fused: True for the inference form.
        maps: Error of its feature maps, the largest of all levels.
        features: Error of the means over the positions of the last map, which a classifier takes.
    """

    precision: Precision
    fused: bool
    maps: float
    features: float


@torch.no_grad()
def measure_precision(backbone: VisionMLP, images: torch.Tensor) -> Iterator[PrecisionError]:
    """Measure a backbone in each of :data:`PRECISIONS`, in its ordinary form and fused.

    Args:
        backbone: In float32 and evaluation mode.
        images: (N, 3, H, W) in float32, normalised.

    Returns:
        Measurements, each yielded when it is complete.

    Raises:
        ValueError: If the backbone is in training mode.
    """
    fused = fuse(backbone)
    expected = backbone(images)
    return (
        _measured(precision, form, images, expected)
        for form in (backbone, fused)
        for precision in PRECISIONS
    )


def _measured(
    precision: Precision, form: VisionMLP, images: torch.Tensor, expected: Sequence[torch.Tensor]
) -> PrecisionError:
    maps = [level.float() for level in precision.run(form, images)]
    errors = [_relative_error(*pair) for pair in zip(maps, expected, strict=True)]
    return PrecisionError(
        precision,
        form.is_fused,
        # Unlike Python's, this maximum is NaN after an overflow at any level.
        torch.stack(errors).max().item(),
        _relative_error(maps[-1].mean((2, 3)), expected[-1].mean((2, 3))).item(),
    )


def _relative_error(ours: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    error: torch.Tensor = (ours - exact).norm() / exact.norm()
    return error
