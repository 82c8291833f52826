"""Analytic reach: the pixels that can influence a position of a feature map.

Each kind of layer states which input positions its output positions come from; the statements are
composed from a position back to the image. Nothing is run, so weights do not matter.

Statistics of a whole map are taken as constants: norms over the map (AS-MLP, Wave-MLP S, M and B),
and split attention (CycleMLP, Hire-MLP, Wave-MLP, ViP, S²-MLPv2). Through them, each pixel
influences each position, however far away; :func:`whole_map_statistics` names them. Norms over the
channels of a position reach no further than that position.
"""

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mmvmlp.backbones import (
    as_mlp,
    conv_mlp,
    cycle_mlp,
    hire_mlp,
    s2_mlp_v2,
    smlpnet,
    vip,
    wave_mlp,
)
from mmvmlp.backbones.base import VisionMLP
from mmvmlp.backbones.mlp_mixer import MLPMixerBlock
from mmvmlp.backbones.raft_mlp import MultiScaleEmbedding, RaftMLPBlock
from mmvmlp.backbones.resmlp import ResMLPBlock
from mmvmlp.backbones.s2_mlp import S2MLPBlock
from mmvmlp.inspection.layers import Layer
from mmvmlp.ops import (
    AxialMixing,
    DenseMixing,
    PatchEmbedding,
    RegionMixing,
    Resolution,
    SegmentMixing,
    SplitAttention,
)
from mmvmlp.ops.cycle_shift import PERIOD
from mmvmlp.ops.resample import cubic_interpolation_matrix
from mmvmlp.ops.shift import DOWN, LEFT, RIGHT, UP, Move

Lines = torch.Tensor
"""Which lines (rows or columns) of the input an output line comes from: (output, input), bool."""

FOUR_MOVES = (RIGHT, LEFT, DOWN, UP)


@dataclass(frozen=True)
class Reach:
    """Which input positions each output position comes from.

    Attributes:
        terms: Pairs of rows and columns; output (i, j) comes from the input (k, l) if in any pair
            row i comes from row k, and column j from column l.
    """

    terms: tuple[tuple[Lines, Lines], ...]

    @property
    def output_size(self) -> tuple[int, int]:
        """H and W of the output."""
        rows, columns = self.terms[0]
        return len(rows), len(columns)

    def __or__(self, other: 'Reach') -> 'Reach':
        """Return the reach of layers side by side, whose outputs are added."""
        return Reach(self.terms + other.terms)

    def sources(self, wanted: torch.Tensor) -> torch.Tensor:
        """Return the input positions that any of some output positions comes from.

        Args:
            wanted: Output positions, (H, W), bool.

        Returns:
            (input H, input W), bool.
        """
        parts = (
            rows.float().t() @ wanted.float() @ columns.float() for rows, columns in self.terms
        )
        return functools.reduce(torch.add, parts) > 0


@functools.singledispatch
def stated_reach(module: nn.Module, height: int, width: int) -> Reach:
    """Return the reach of a layer for an input of H x W positions.

    Raises:
        TypeError: If nothing is stated about this kind of layer.
    """
    raise TypeError(
        f'module is a {type(module).__name__}: no reach is stated for it; state one with '
        '@mmvmlp.inspection.reach.stated_reach.register, as the documentation does on its page '
        '“A backbone of your own”'
    )


def layer_reaches(layers: Iterable[Layer], height: int, width: int) -> list[Reach]:
    """Return the reach of each layer on its input, for an image of H x W pixels.

    Raises:
        TypeError: If nothing is stated about a layer.
    """
    reaches = []
    for layer in layers:
        reaches.append(stated_reach(layer.module, height, width))
        height, width = reaches[-1].output_size
    return reaches


def pixels_in_reach(reaches: list[Reach], row: int, column: int) -> torch.Tensor:
    """Return the pixels that can influence a position of the last layer's output.

    Args:
        reaches: Of the layers from the image to the feature map; see :func:`layer_reaches`.
        row: Row of the position.
        column: Column of the position.

    Returns:
        (image H, image W), bool.
    """
    pixels = torch.zeros(reaches[-1].output_size, dtype=torch.bool)
    pixels[row, column] = True
    for reach in reversed(reaches):
        pixels = reach.sources(pixels)
    return pixels


def whole_map_statistics(backbone: VisionMLP) -> list[str]:
    """Return the names of what takes statistics of a whole map in a backbone."""
    kinds: dict[str, Any] = {
        'norm over the whole map': (nn.GroupNorm, nn.InstanceNorm2d),
        'split attention': SplitAttention,
    }
    return [
        name
        for name, kind in kinds.items()
        if any(isinstance(module, kind) for module in backbone.modules())
    ]


# Along one axis.


def _same(length: int) -> Lines:
    return torch.eye(length, dtype=torch.bool)


def _taken(sources: torch.Tensor, length: int) -> Lines:
    """Return the lines if each output comes from one input; from none if that is outside."""
    return sources[:, None] == torch.arange(length)


def _shifted(length: int, steps: Iterable[int], *, replicates: bool = False) -> Lines:
    """Return the lines of shifts: each output comes from those so many steps before it."""
    sources = [torch.arange(length) - step for step in steps]
    if replicates:
        sources = [source.clamp(0, length - 1) for source in sources]
    return functools.reduce(operator.or_, [_taken(source, length) for source in sources])


def _convolved(
    length: int, kernel: int, stride: int, padding: int, outputs: int, dilation: int = 1
) -> Lines:
    first = torch.arange(outputs)[:, None] * stride - padding
    place = torch.arange(length) - first
    return (place >= 0) & (place < kernel * dilation) & (place % dilation == 0)


def _mixed(length: int, native: int, resolution: Resolution) -> Lines:
    """Return the lines of mixing all tokens of the native size; a window is one native size."""
    if resolution == 'window':
        window = torch.arange(length) // native
        return window[:, None] == window
    return torch.ones(length, length, dtype=torch.bool)


def _of_regions(length: int, region: int, shift: int) -> Lines:
    """Return the lines of region mixing: a region takes neighbours, around the end of the map."""
    line = torch.arange(length)
    first = (line + shift) % length // region * region
    members = (first[:, None] + torch.arange(region) - shift) % length
    return (members[:, :, None] == line).any(1)


# Of layers.


def _separable(rows: Lines, columns: Lines) -> Reach:
    return Reach(((rows, columns),))


def _unchanged(height: int, width: int) -> Reach:
    return _separable(_same(height), _same(width))


def _cross(rows: Lines, columns: Lines) -> Reach:
    """Return the reach of mixing along the height, the width, and not at all."""
    same_row, same_column = _same(len(rows)), _same(len(columns))
    return Reach(((rows, same_column), (same_row, columns), (same_row, same_column)))


def _in_series(first: Reach, second: Reach) -> Reach:
    return Reach(
        tuple(
            (_through(rows, later_rows), _through(columns, later_columns))
            for later_rows, later_columns in second.terms
            for rows, columns in first.terms
        )
    )


def _through(first: Lines, second: Lines) -> Lines:
    return second.float() @ first.float() > 0


def _neighbours(height: int, width: int, kernel: int) -> Reach:
    """Return the reach of a convolution that keeps the size."""
    rows, columns = (
        _convolved(side, kernel, 1, kernel // 2, outputs=side) for side in (height, width)
    )
    return _separable(rows, columns)


def _moved(height: int, width: int, moves: Iterable[Move]) -> Reach:
    return Reach(
        tuple(
            (_shifted(height, [down], replicates=True), _shifted(width, [right], replicates=True))
            for down, right in moves
        )
    )


@stated_reach.register
def _(module: nn.Conv2d, height: int, width: int) -> Reach:
    if isinstance(module.padding, str) or module.padding_mode != 'zeros':
        raise TypeError(
            f'module is {module}: no reach is stated for a convolution with padding='
            f'{module.padding!r} and padding_mode={module.padding_mode!r}; numbers and '
            "'zeros' are accepted"
        )
    rows, columns = (
        _convolved(
            *(side, kernel, stride, padding),
            outputs=(side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1,
            dilation=dilation,
        )
        for side, kernel, stride, padding, dilation in zip(
            (height, width),
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            strict=True,
        )
    )
    return _separable(rows, columns)


@stated_reach.register(hire_mlp.ConvNormReLU)
@stated_reach.register(wave_mlp.ConvNorm)
@stated_reach.register(cycle_mlp.OverlappingPatches)
@stated_reach.register(conv_mlp.ConvNormReLU)
def _(module: Any, height: int, width: int) -> Reach:
    return stated_reach(module.conv, height, width)


@stated_reach.register
def _(module: PatchEmbedding, height: int, width: int) -> Reach:
    side = module.padding + 1
    rows, columns = (
        _convolved(length, side, side, 0, outputs=-(-length // side)) for length in (height, width)
    )
    return _separable(rows, columns)


@stated_reach.register
def _(module: as_mlp.PatchMerging, height: int, width: int) -> Reach:
    rows, columns = (_convolved(side, 2, 2, 0, outputs=-(-side // 2)) for side in (height, width))
    return _separable(rows, columns)


@stated_reach.register
def _(module: conv_mlp.ConvTokenizer, height: int, width: int) -> Reach:
    # The pooling at the end comes from as many positions as this convolution.
    layers = [*module.before, module.conv, nn.Conv2d(1, 1, 3, 2, 1)]
    reach = _unchanged(height, width)
    for layer in layers:
        reach = _in_series(reach, stated_reach(layer, *reach.output_size))
    return reach


@stated_reach.register
def _(module: MultiScaleEmbedding, height: int, width: int) -> Reach:
    patch, kernel = module.conv.patch_size, max(module.conv.kernel_sizes)
    lines = []
    for side in (height, width):
        patches = -(-side // patch)
        resized = _interpolated(side, patches * patch)
        kernels = _convolved(patches * patch, kernel, patch, (kernel - patch) // 2, patches)
        lines.append(_through(resized, kernels))
    return _separable(*lines)


def _interpolated(length: int, new_length: int) -> Lines:
    return cubic_interpolation_matrix(length, new_length, torch.empty(0)) != 0


@stated_reach.register
def _(module: S2MLPBlock, height: int, width: int) -> Reach:
    return _unchanged(height, width) | _moved(height, width, module.moves)


@stated_reach.register
def _(module: s2_mlp_v2.S2v2Block, height: int, width: int) -> Reach:
    return _unchanged(height, width) | _moved(height, width, FOUR_MOVES)


@stated_reach.register
def _(module: as_mlp.ASMLPBlock, height: int, width: int) -> Reach:
    size = module.token_mixing.shift_size
    channels = module.token_mixing.width.in_channels
    # Few channels make fewer groups, and the last shifts are left out.
    groups = -(-channels // -(-channels // size))
    steps = range(-(size // 2), groups - size // 2)
    return _cross(_shifted(height, steps), _shifted(width, steps))


@stated_reach.register
def _(module: cycle_mlp.CycleBlock, height: int, width: int) -> Reach:
    steps = [(turn + 1) % PERIOD - 1 for turn in range(PERIOD)]
    return _cross(_shifted(height, steps), _shifted(width, steps))


@stated_reach.register
def _(module: hire_mlp.HireBlock, height: int, width: int) -> Reach:
    mixing = module.token_mixing
    reach = _unchanged(height, width)
    if mixing.height is not None:
        reach |= stated_reach(mixing.height, height, width)
    if mixing.width is not None:
        reach |= stated_reach(mixing.width, height, width)
    return reach


@stated_reach.register
def _(module: RegionMixing, height: int, width: int) -> Reach:
    if module.dim == 2:
        return _separable(_of_regions(height, module.region, module.shift), _same(width))
    return _separable(_same(height), _of_regions(width, module.region, module.shift))


@stated_reach.register
def _(module: conv_mlp.ConvBlock, height: int, width: int) -> Reach:
    return _neighbours(height, width, 3)


@stated_reach.register
def _(module: conv_mlp.ConvMLPBlock, height: int, width: int) -> Reach:
    return _neighbours(height, width, 3)


@stated_reach.register
def _(module: wave_mlp.WaveBlock, height: int, width: int) -> Reach:
    window, middle = wave_mlp.WINDOW, wave_mlp.WINDOW // 2
    rows, columns = (_convolved(side, window, 1, middle, side) for side in (height, width))
    crossed = _cross(rows, columns)
    if module.token_mixing.width.phase.groups == 1:
        return crossed
    return _in_series(_neighbours(height, width, 3), crossed)


@stated_reach.register
def _(module: vip.ViPBlock, height: int, width: int) -> Reach:
    mixing = module.token_mixing
    return (
        _unchanged(height, width)
        | stated_reach(mixing.height, height, width)
        | stated_reach(mixing.width, height, width)
    )


@stated_reach.register
def _(module: smlpnet.SMLPNetBlock, height: int, width: int) -> Reach:
    branch = _unchanged(height, width)
    if isinstance(module.local, nn.Conv2d):
        branch = _neighbours(height, width, 3)
    if not isinstance(module.sparse, nn.Identity):
        branch = _in_series(branch, stated_reach(module.sparse, height, width))
    return _unchanged(height, width) | branch


@stated_reach.register
def _(module: smlpnet.SparseMLP, height: int, width: int) -> Reach:
    along_width = stated_reach(module.width, height, width)
    along_height = stated_reach(module.height, height, width)
    if module.serial:
        mixed = _in_series(along_width, along_height)
    else:
        mixed = along_width | along_height
    return mixed | _unchanged(height, width) if module.identity else mixed


@stated_reach.register
def _(module: smlpnet.DenseMLP, height: int, width: int) -> Reach:
    return stated_reach(module.mixing, height, width)


@stated_reach.register
def _(module: AxialMixing, height: int, width: int) -> Reach:
    return _along(module.dim, height, width, len(module.weight), module.resolution)


@stated_reach.register
def _(module: SegmentMixing, height: int, width: int) -> Reach:
    return _along(module.dim, height, width, module.tokens, module.resolution)


def _along(dim: int, height: int, width: int, native: int, resolution: Resolution) -> Reach:
    if dim == 1:
        return _separable(_mixed(height, native, resolution), _same(width))
    return _separable(_same(height), _mixed(width, native, resolution))


@stated_reach.register
def _(module: DenseMixing, height: int, width: int) -> Reach:
    rows, columns = (_mixed(side, module.side, module.resolution) for side in (height, width))
    return _separable(rows, columns)


@stated_reach.register
def _(module: ResMLPBlock, height: int, width: int) -> Reach:
    if not module.mixes_tokens:
        return _unchanged(height, width)
    return stated_reach(module.token_mixing, height, width)


@stated_reach.register
def _(module: MLPMixerBlock, height: int, width: int) -> Reach:
    return stated_reach(module.token_mixing, height, width)


@stated_reach.register
def _(module: RaftMLPBlock, height: int, width: int) -> Reach:
    mixing = module.token_mixing
    if not mixing.resizes:
        rows, columns = (
            _mixed(side, mixing.tokens, mixing.height.resolution) for side in (height, width)
        )
        return _separable(rows, columns)
    # The map itself is resized, so tokens that the interpolation leaves out are lost.
    rows, columns = (
        (
            _interpolated(mixing.tokens, side).any(1, keepdim=True)
            & _interpolated(side, mixing.tokens).any(0)
        )
        for side in (height, width)
    )
    return _separable(rows, columns)
