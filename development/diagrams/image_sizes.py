"""Diagrams of the image-size policies, step by step, and of what padding an image changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from development.diagrams.drawing import (
    CELL,
    EMPTY,
    GROUPS,
    Drawing,
    Position,
    Spot,
    all_positions,
)
from development.diagrams.reads import positions_in
from mmvmlp.backbones import ASMLP, ConvMLP, CycleMLP, HireMLP
from mmvmlp.backbones.base import VisionMLP
from mmvmlp.backbones.raft_mlp import RaftTokenMixing
from mmvmlp.inspection.reach import whole_map_statistics
from mmvmlp.inspection.receptive_field import with_positive_weights
from mmvmlp.ops import AxialMixing, DenseMixing, Resolution
from mmvmlp.ops.resample import mix_at_native_size

NATIVE = 4
HEIGHT, WIDTH = 5, 7
INPUT, MIXED, OUTPUT, CHANGE = GROUPS[0], GROUPS[1], GROUPS[2], GROUPS[4]
MARGIN, ABOVE, LABEL, APART = 4.0, 26.0, 26.0, 7.0

PADDED_SIDE = 14
SHADES = {
    0.0: 'unchanged',
    0.2: 'below 0.1 %',
    0.45: 'to 1 %',
    0.7: 'to 10 %',
    1.0: 'above',
}
"""Opacities of changes by padding, and their names."""


@dataclass(frozen=True)
class Step:
    """A map, and what is done to it next.

    Attributes:
        values: (H, W).
        label: What the map is.
        colour: Colour of its largest value.
        then: What the arrow to the next map is labelled with.
        is_cut: True if the map is cut into windows, and its border repeated to fill them.
    """

    values: torch.Tensor
    label: str
    colour: str
    then: str = ''
    is_cut: bool = False


def picture() -> torch.Tensor:
    """Return a map with a fine detail, a diagonal line: (HEIGHT, WIDTH)."""
    line = torch.full((HEIGHT, WIDTH), 0.12)
    for row in range(HEIGHT):
        line[row, row + 1] = 1.0
    return line


def mixing(resolution: Resolution) -> DenseMixing:
    """Return a layer that mixes all tokens, always with the same random weights."""
    torch.manual_seed(2)
    layer = DenseMixing(NATIVE, resolution).requires_grad_(False)
    layer.fc1.weight.copy_(torch.rand_like(layer.fc1.weight) ** 4)
    layer.fc1.bias.zero_()
    layer.fc1.weight.mul_(2 / layer.fc1.weight.sum(1, keepdim=True))
    return layer


def steps_of_policy(resolution: Resolution) -> list[Step]:
    """Return the steps of mixing all tokens, with the residual, by a policy."""
    x = picture()
    if resolution == 'native':
        x = x[:NATIVE, :NATIVE]
    layer, native = mixing('native'), []

    def mix(tokens: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = layer(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        native.extend([tokens, mixed])
        return mixed

    sides = {1: NATIVE, 2: NATIVE}
    branch = mix_at_native_size(x[None, :, :, None], sides, resolution, mix)[0, :, :, 0]
    last = Step(x + branch, 'output', OUTPUT)
    if resolution == 'native':
        return [Step(x, 'input', INPUT, 'mix'), Step(branch, 'mixed', MIXED, 'add'), last]
    before, after = (_joined(each) for each in native)
    is_cut = resolution == 'window'
    there, back = ('cut', 'join') if is_cut else ('interpolate', 'interpolate')
    size = 'windows, filled by\nrepeating the border' if is_cut else 'native size'
    return [
        Step(x, 'input', INPUT, there),
        Step(before, size, INPUT, 'mix', is_cut),
        Step(after, 'mixed', MIXED, back, is_cut),
        Step(branch, 'size of the input', MIXED, 'add'),
        last,
    ]


def _joined(windows: torch.Tensor) -> torch.Tensor:
    """Join windows (N, H, W, 1), cut along the height and then along the width, side by side."""
    if len(windows) == 1:
        return windows[0, :, :, 0]
    rows, columns = -(-HEIGHT // NATIVE), -(-WIDTH // NATIVE)
    split = windows.reshape(rows, columns, NATIVE, NATIVE)
    return split.transpose(1, 2).reshape(rows * NATIVE, columns * NATIVE)


def steps_of_raft() -> list[Step]:
    """Return the steps of RaftMLP's token mixing, which resizes the residual, too."""
    torch.manual_seed(1)
    layer = RaftTokenMixing(2, NATIVE, 2.0, 0.0, 'resize', {'type': 'LN2d'})
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, tensor: torch.Tensor) -> None:
        seen[name] = tensor

    layer.norm1.register_forward_hook(lambda module, args, output: keep('native', args[0]))
    layer.norm2.register_forward_hook(lambda module, args, output: keep('columns', args[0]))
    layer.width.register_forward_hook(lambda module, args, output: keep('rows', output))
    layer.requires_grad_(False)
    for mixing_along in (layer.height, layer.width):
        mixing_along.fc2.weight.mul_(0.3)
    x = picture()
    with torch.no_grad():
        output = layer(torch.stack([x, x.flip(1)])[None])[0, 0]
    mixed = seen['columns'] + seen['rows']
    return [
        Step(x, 'input', INPUT, 'interpolate'),
        Step(seen['native'][0, 0], 'native size', INPUT, 'mix, add'),
        Step(mixed[0, 0], 'native size', OUTPUT, 'interpolate'),
        Step(output, 'output', OUTPUT),
    ]


def draw_steps(steps: list[Step], residual: tuple[int, int]) -> bytes:
    """Return a diagram of steps, as SVG.

    Args:
        steps: The steps.
        residual: The map that the residual leaves, and the one that it is added to.
    """
    sizes, arrows = [_size(step) for step in steps], [_length_of_arrow(step) for step in steps]
    tallest = max(height for height, _ in sizes)
    width = sum(width for _, width in sizes) + sum(arrows) + 2 * MARGIN
    lines = max(step.label.count('\n') for step in steps)
    drawing = Drawing(width, ABOVE + tallest + LABEL + 14 * lines)
    middle = ABOVE + tallest / 2
    left, corners, drawn = MARGIN, [], []
    for number, (step, (height, width), arrow) in enumerate(zip(steps, sizes, arrows, strict=True)):
        corners.append(Spot(left, middle - height / 2))
        largest = max(float(each.values.max()) for each in steps if each.colour == step.colour)
        drawn.append(_draw_values(drawing, corners[-1], step, largest))
        below = Spot(left + width / 2, ABOVE + tallest + 12)
        drawing.text(below, step.label, bold=number in (0, len(steps) - 1))
        left += width
        if step.then:
            drawing.arrow(Spot(left + 7, middle), Spot(left + arrow - 7, middle))
            drawing.text(Spot(left + arrow / 2, middle - 10), step.then, size=10, faint=True)
        left += arrow
    first, last = residual
    start = corners[first].x + sizes[first][1] / 2
    goal, line = corners[last].x - arrows[last - 1] / 2, 14.0
    drawing.line(Spot(start, corners[first].y - 3), Spot(start, line), Spot(goal, line))
    drawing.arrow(Spot(goal, line), Spot(goal, middle - 18))
    drawing.text(Spot((start + goal) / 2, line - 8), 'residual', size=10, faint=True)
    return drawing.svg(drawn)


def _length_of_arrow(step: Step) -> float:
    return max(42.0, 5.5 * len(step.then) + 8) if step.then else 0.0


def _place(step: Step, position: Position) -> Spot:
    """Return the corner of a cell in its map; windows lie apart."""
    cuts = [line // NATIVE * APART if step.is_cut else 0.0 for line in position]
    return Spot(position[1] * CELL + cuts[1], position[0] * CELL + cuts[0])


def _size(step: Step) -> tuple[float, float]:
    """Return height and width of a drawn map."""
    height, width = step.values.shape
    last = _place(step, (height - 1, width - 1))
    return last.y + CELL, last.x + CELL


def _draw_values(drawing: Drawing, corner: Spot, step: Step, largest: float) -> Any:
    opacities = (step.values / largest).clamp(0, 1).double().mul(100).round().div(100)
    for is_repeated, side in ((False, CELL), (True, CELL / 2)):
        positions = [
            (row, column)
            for row, column in all_positions(*step.values.shape)
            if is_repeated == (step.is_cut and (row >= HEIGHT or column >= WIDTH))
        ]
        places = [_place(step, position) for position in positions]
        corners = [Spot(corner.x + place.x, corner.y + place.y) for place in places]
        drawing.squares(corners, EMPTY)
        inner = (CELL - side) / 2
        corners = [Spot(each.x + inner, each.y + inner) for each in corners]
        shown = [float(opacities[position]) for position in positions]
        drawing.squares(corners, step.colour, shown, width=side, height=side)
    return {'label': step.label, 'opacities': opacities.tolist()}


def draw_reads() -> bytes:
    """Return a diagram of what an output reads with the policies, as SVG."""
    output = (1, 2)
    policies: tuple[Resolution, ...] = ('resize', 'window')
    layers = [
        *(('all patches', policy, DenseMixing(NATIVE, policy)) for policy in policies),
        *(('its row', policy, AxialMixing(NATIVE, 'width', policy)) for policy in policies),
    ]
    between, top = 46.0, 34.0
    drawing = Drawing(len(layers) * (WIDTH * CELL + between), top + HEIGHT * CELL + MARGIN)
    drawn = []
    for number, (words, policy, layer) in enumerate(layers):
        corner = Spot(between / 2 + number * (WIDTH * CELL + between), top)
        x = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(with_positive_weights(layer)(x)[0, 0][output], x)
        positions = positions_in(gradient[0, 0] != 0)
        drawing.text(Spot(corner.x + WIDTH * CELL / 2, 8), words, faint=True)
        drawing.text(Spot(corner.x + WIDTH * CELL / 2, 23), policy, bold=True)
        drawing.cells(corner, all_positions(HEIGHT, WIDTH), EMPTY)
        drawing.cells(corner, positions, INPUT)
        drawing.ring(corner, output)
        drawn.append({'mixing': words, 'policy': policy, 'positions': positions})
    return drawing.svg(drawn)


def changes_by_padding(family: type[VisionMLP]) -> torch.Tensor:
    """Return how much padding changes the positions of a map, as share of their features' norm.

    An image of random pixels is padded with zeros on the right to twice its width.

    Args:
        family: The family; its small architecture gets random weights.

    Returns:
        (PADDED_SIDE, PADDED_SIDE), of the positions of the image at stride 8.
    """
    torch.manual_seed(0)
    backbone = family(family.small_arch, out_indices=(1,)).eval()
    images = torch.randn(1, 3, 8 * PADDED_SIDE, 8 * PADDED_SIDE)
    with torch.no_grad():
        (alone,) = backbone(images)
        (padded,) = backbone(functional.pad(images, (0, 8 * PADDED_SIDE)))
    difference = (padded[..., :PADDED_SIDE] - alone).norm(dim=1)
    change: torch.Tensor = (difference / alone.norm(dim=1).mean())[0]
    return change


def draw_padding() -> bytes:
    """Return a diagram of what padding an image changes, as SVG."""
    families: tuple[type[VisionMLP], ...] = (ConvMLP, CycleMLP, HireMLP, ASMLP)
    side, between, top = 108.0, 24.0, 34.0
    cell = side / PADDED_SIDE
    drawing = Drawing(len(families) * (side + between), top + side + 40)
    drawn = []
    for number, family in enumerate(families):
        corner = Spot(between / 2 + number * (side + between), top)
        centre = corner.x + side / 2
        drawing.text(Spot(centre, 8), family.title, bold=True)
        statistics = whole_map_statistics(family(family.small_arch))
        words = statistics[0] if statistics else 'no statistics'
        drawing.text(Spot(centre, 23), words, size=10, faint=True)
        changes = changes_by_padding(family)
        shades = _shades(changes)
        everywhere = all_positions(PADDED_SIDE, PADDED_SIDE)
        corners = [Spot(corner.x + c * cell, corner.y + r * cell) for r, c in everywhere]
        drawing.squares(corners, EMPTY, width=cell, height=cell)
        drawing.squares(corners, CHANGE, shades.flatten().tolist(), width=cell, height=cell)
        drawn.append({'family': family.title, 'shades': shades.tolist()})
    place = Spot(between / 2, top + side + 16)
    for shade, words in SHADES.items():
        drawing.squares([place], EMPTY)
        drawing.squares([place], CHANGE, [shade])
        beside = Spot(place.x + CELL + 4, place.y + CELL / 2)
        drawing.text(beside, words, size=10, faint=True, align='left')
        place = Spot(beside.x + 5.5 * len(words) + 14, place.y)
    return drawing.svg(drawn)


def _shades(changes: torch.Tensor) -> torch.Tensor:
    """Return the opacity of changes, in steps of a factor of ten."""
    shades = torch.zeros(changes.shape, dtype=torch.float64)
    for bound, shade in zip((0.0, 1e-3, 1e-2, 1e-1), list(SHADES)[1:], strict=True):
        shades[changes > bound] = shade
    return shades


def diagrams() -> dict[str, bytes]:
    """Return the diagrams, by the name of their file."""
    pictures = {'size_reads.svg': draw_reads(), 'size_padding.svg': draw_padding()}
    resolutions: tuple[Resolution, ...] = ('native', 'resize', 'window')
    for resolution in resolutions:
        steps = steps_of_policy(resolution)
        pictures[f'size_{resolution}.svg'] = draw_steps(steps, (0, len(steps) - 1))
    pictures['size_raft_mlp.svg'] = draw_steps(steps_of_raft(), (1, 2))
    return pictures
