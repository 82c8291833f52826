"""Effective receptive fields: how strongly pixels influence a position of a feature map.

Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural
Networks" (arXiv 1701.04128), 2016: the gradient of a position to the image, averaged over images.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from rich.progress import track
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.inspection.layers import Layer, layers_of, outputs_of, stage_ends
from mmvmlp.inspection.reach import layer_reaches, pixels_in_reach, whole_map_statistics

LARGEST_ROUNDING = 1e-6
"""Gradient outside the reach, as a share of the largest, up to which it counts as rounding."""

SHARES = (0.5, 0.9)
"""Shares of the gradient whose squares are measured."""

AnyModule = TypeVar('AnyModule', bound=nn.Module)


@dataclass(frozen=True)
class ReceptiveField:
    """What a position of a layer's output sees of the image.

    Attributes:
        layer: The layer.
        gradient: Absolute gradient of a random combination of the output's channels, another for
            each image, summed over the channels of an image and averaged over images, (H, W); the
            largest is 1.
        reach: The pixels that can influence the position, (H, W), bool; see
            :mod:`~mmvmlp.inspection.reach`.
        sides: By share of the gradient, the side in pixels of the smallest square around the
            position that contains it.
    """

    layer: Layer
    gradient: torch.Tensor
    reach: torch.Tensor
    sides: dict[float, int]

    @property
    def reach_extent(self) -> tuple[int, int]:
        """Rows and columns that have a pixel in reach."""
        return int(self.reach.any(1).sum()), int(self.reach.any(0).sum())


def measure_receptive_fields(backbone: VisionMLP, images: torch.Tensor) -> list[ReceptiveField]:
    """Measure the receptive field of the centre after each layer.

    Args:
        backbone: The backbone; it is used in evaluation mode, and not changed.
        images: (N, in_channels, H, W), normalised as the network expects them.

    Raises:
        TypeError: If nothing is stated about the reach of a layer.
        ValueError: If the backbone is fused, the images are too small, or pixels outside the stated
            reach have an influence.
    """
    frozen = _frozen_copy(backbone)
    layers = layers_of(frozen)
    reaches = layer_reaches(layers, *images.shape[2:])
    images = images.detach().requires_grad_()
    fields, generator = [], torch.Generator().manual_seed(0)
    is_whole = not whole_map_statistics(backbone)
    outputs = outputs_of(frozen, layers, images)
    shown = track(
        zip(layers, outputs, strict=True),
        'Receptive fields',
        total=len(layers),
        disable=not sys.stdout.isatty(),
    )
    for number, (layer, output) in enumerate(shown, start=1):
        row, column = (side // 2 for side in output.shape[2:])
        pixels = pixels_in_reach(reaches[:number], row, column)
        fields.append(_field_of(layer, output, images, (row, column), pixels, is_whole, generator))
    return fields


def receptive_field_at(
    backbone: VisionMLP, images: torch.Tensor, stage: int, position: tuple[float, float]
) -> ReceptiveField:
    """Measure the receptive field of a position after the last block of a stage.

    Args:
        backbone: See :func:`measure_receptive_fields`.
        images: See :func:`measure_receptive_fields`.
        stage: Number of the stage, from 0.
        position: The position, as shares of height and width from 0 to 1.

    Raises:
        TypeError: If nothing is stated about the reach of a layer.
        ValueError: If the stage is not there, the backbone is fused, the images are too small, or
            pixels outside the stated reach have an influence.
    """
    frozen = _frozen_copy(backbone)
    layers = layers_of(frozen)
    ends = stage_ends(layers)
    if stage not in range(len(ends)):
        raise ValueError(f'stage={stage!r}: 0 to {len(ends) - 1} are accepted')
    layers = layers[: ends[stage]]
    reaches = layer_reaches(layers, *images.shape[2:])
    images = images.detach().requires_grad_()
    output = outputs_of(frozen, layers, images)[-1]
    row, column = position_in(output, position)
    pixels = pixels_in_reach(reaches, row, column)
    generator = torch.Generator().manual_seed(0)
    is_whole = not whole_map_statistics(backbone)
    return _field_of(layers[-1], output, images, (row, column), pixels, is_whole, generator)


def gradient_support(
    backbone: VisionMLP, height: int, width: int, positions: Sequence[tuple[float, float]]
) -> list[list[torch.Tensor]]:
    """Measure which pixels have a gradient at all, without weights that hide some.

    A copy of the network runs forward and backward with positive weights in float64, on a positive
    image. Where gradients could vanish or cancel out for other reasons than reach, functions are
    replaced: norms pass their input on, split attention has equal weights (both are constants to
    :mod:`~mmvmlp.inspection.reach`), maxima become means, and the cosine and sine of a phase the
    phase itself. GELU and ReLU stay, for their inputs are positive; so do the negative weights of
    RaftMLP's interpolation, at sizes other than the native one.

    Args:
        backbone: The backbone.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        positions: Positions in the maps, as shares of height and width from 0 to 1.

    Returns:
        For each layer and each position, the pixels with a gradient, (height, width), bool.

    Raises:
        ValueError: If the backbone is fused, or the images are too small.
    """
    positive = with_positive_weights(backbone)
    layers = layers_of(positive)
    images = torch.ones(
        1, backbone.in_channels, height, width, dtype=torch.float64, requires_grad=True
    )
    with _PositiveFunctions():
        outputs = outputs_of(positive, layers, images)
    ones = torch.ones(())
    return [
        [
            (_gradient_at(output, images, *position_in(output, position), ones) != 0).any(1)[0]
            for position in positions
        ]
        for output in outputs
    ]


def with_positive_weights(module: AnyModule) -> AnyModule:
    """Return a copy in evaluation mode and float64, in which gradients do not cancel out."""
    positive = _frozen_copy(module).double()
    for parameter in positive.parameters():
        parameter.fill_(1 / max(1, parameter[0].numel()))
    return positive


def position_in(output: torch.Tensor, position: tuple[float, float]) -> tuple[int, int]:
    """Return the row and column at shares of a map's height and width, from 0 to 1."""
    row, column = (
        min(int(share * side), side - 1)
        for share, side in zip(position, output.shape[-2:], strict=True)
    )
    return row, column


def _field_of(
    layer: Layer,
    output: torch.Tensor,
    images: torch.Tensor,
    place: tuple[int, int],
    reach: torch.Tensor,
    is_whole: bool,
    generator: torch.Generator,
) -> ReceptiveField:
    """Measure the receptive field of a row and a column of a layer's output.

    Args:
        layer: The layer.
        output: Its output.
        images: The images, which have a gradient.
        place: Row and column.
        reach: The pixels in reach.
        is_whole: True if nothing else can have an influence, such as statistics of the whole map.
        generator: For the combination of channels.

    Raises:
        ValueError: If the reach is the whole one, and pixels outside it have an influence.
    """
    # Not of the channels' sum, which is constant after a layer norm.
    channels = torch.randn(output.shape[:2], generator=generator, dtype=output.dtype)
    gradient = _gradient_at(output, images, *place, channels.to(output.device))
    gradients = gradient.abs().sum(1).mean(0).cpu()
    beyond = (gradients > LARGEST_ROUNDING * gradients.max()) & ~reach
    if is_whole and beyond.any():
        raise ValueError(
            f'{layer.title}, a {type(layer.module).__name__}: {int(beyond.sum())} pixels outside '
            'the stated reach have an influence; stated_reach of this layer, or of one before it, '
            'leaves them out'
        )
    centre = tuple(
        int((index + 0.5) * pixels / places)
        for index, pixels, places in zip(place, images.shape[2:], output.shape[2:], strict=True)
    )
    return ReceptiveField(
        layer,
        gradients / gradients.max().clamp(min=torch.finfo(gradients.dtype).tiny),
        reach,
        {share: _side_of_square(gradients, centre, share) for share in SHARES},
    )


class _PositiveFunctions(TorchFunctionMode):
    """Replaces functions whose gradients vanish or cancel out by ones with positive gradients."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name, kwargs = getattr(function, '__name__', ''), kwargs or {}
        if name in ('layer_norm', 'group_norm', 'batch_norm', 'cos', 'sin'):
            return args[0]
        if name == 'softmax':
            return torch.full_like(args[0], 1 / args[0].shape[args[1]])
        if name == 'max_pool2d':
            window = {key: kwargs[key] for key in ('stride', 'padding') if key in kwargs}
            return functional.avg_pool2d(*args, **window)
        return function(*args, **kwargs)


def _frozen_copy(module: AnyModule) -> AnyModule:
    frozen = copy.deepcopy(module)
    frozen.eval().requires_grad_(False)
    return frozen


def _gradient_at(
    output: torch.Tensor, images: torch.Tensor, row: int, column: int, channels: torch.Tensor
) -> torch.Tensor:
    """Return the gradient to the images of a position's channels, with weights (N, channels)."""
    weighted = (output[:, :, row, column] * channels).sum()
    (gradient,) = torch.autograd.grad(weighted, images, retain_graph=True)
    return gradient


def _side_of_square(gradients: torch.Tensor, centre: Sequence[int], share: float) -> int:
    """Return the side of the smallest square around a pixel with a share of the gradient."""
    rows, columns = (
        (torch.arange(length) - middle).abs()
        for length, middle in zip(gradients.shape, centre, strict=True)
    )
    distances = torch.maximum(rows[:, None], columns).flatten()
    within = gradients.new_zeros(max(gradients.shape)).index_add(0, distances, gradients.flatten())
    reached = within.cumsum(0) >= share * gradients.sum()
    return 2 * int(reached.float().argmax()) + 1
