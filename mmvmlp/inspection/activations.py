"""Statistics of each layer's output, which show dead, vanishing and exploding stages."""

import math
from dataclasses import dataclass

import torch

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.inspection.layers import Layer, layers_of, outputs_of

DEAD_CHANNEL = 1e-6
"""A channel is dead if its standard deviation is at most this share of that of the whole map."""

DEAD_SHARE = 0.5
"""A layer is dead if a larger share of its channels is."""

LARGEST_GROWTH = 1000.0
"""A layer explodes if its standard deviation is larger by this factor than that of the stem."""


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of a layer's output over channels, positions and images.

    Attributes:
        layer: The layer.
        mean: Mean.
        deviation: Standard deviation.
        largest: Largest absolute value.
        dead_share: Share of channels that have the same value at all positions of all images.
        finding: ``'dead'``, ``'vanishing'``, ``'exploding'``, ``'not finite'``, or empty.
    """

    layer: Layer
    mean: float
    deviation: float
    largest: float
    dead_share: float
    finding: str


@torch.no_grad()
def measure_activations(backbone: VisionMLP, images: torch.Tensor) -> list[LayerStatistics]:
    """Measure the output of each layer.

    Args:
        backbone: The backbone, in evaluation mode.
        images: (N, in_channels, H, W).

    Raises:
        ValueError: If the backbone is fused, or the images are too small.
    """
    layers = layers_of(backbone)
    measured: list[LayerStatistics] = []
    for layer, output in zip(layers, outputs_of(backbone, layers, images), strict=True):
        values = output.double()
        deviation = float(values.std(correction=0))
        of_channels = values.std((0, 2, 3), correction=0)
        dead_share = float((of_channels <= DEAD_CHANNEL * deviation).double().mean())
        first = measured[0].deviation if measured else deviation
        measured.append(
            LayerStatistics(
                layer,
                float(values.mean()),
                deviation,
                float(values.abs().max()),
                dead_share,
                _finding(deviation, dead_share, first),
            )
        )
    return measured


def _finding(deviation: float, dead_share: float, first: float) -> str:
    if not math.isfinite(deviation):
        return 'not finite'
    if dead_share > DEAD_SHARE:
        return 'dead'
    if deviation > LARGEST_GROWTH * first:
        return 'exploding'
    return 'vanishing' if deviation < first / LARGEST_GROWTH else ''
