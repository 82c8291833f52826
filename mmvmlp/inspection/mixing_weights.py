"""Token-mixing weights: the matrices, their locality, and the sparsity of all weights over depth.

Source: ResMLP (arXiv 2105.03404), section 3.4 and appendix, which shows rows of its matrices as
maps, and the share of weights below 5 % of the largest one; MLP-Mixer (arXiv 2105.01601), figure 5,
which shows the weights of hidden units as maps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.inspection.layers import layers_of
from mmvmlp.ops import AxialMixing, DenseMixing, SegmentMixing

THRESHOLD = 0.05
"""Weights below this share of their layer's largest one count as small, as in the ResMLP paper."""

HIDDEN_UNITS_SHOWN = 64


@dataclass(frozen=True)
class MixingMatrix:
    """A matrix that mixes tokens.

    Attributes:
        name: Name of the module in the backbone.
        title: Title of its block.
        block: Number of the block in the network, from 1.
        kind: ``'all tokens'``, ``'hidden units'`` (of the first of two layers), ``'height'`` or
            ``'width'``.
        weight: (outputs, tokens); across channels of a segment, the root mean square.
        grid: Rows and columns of the tokens.
    """

    name: str
    title: str
    block: int
    kind: str
    weight: torch.Tensor
    grid: tuple[int, int]

    @property
    def distance(self) -> float:
        """Mean distance in tokens between what is mixed, weighted by squared weights.

        Distances are Euclidean, from the output token; those of a hidden unit, which has no place,
        from the mean place of its own weights. Each output counts alike.
        """
        return self._mean_distance(self.weight.double() ** 2)

    @property
    def distance_of_equal_weights(self) -> float:
        """The distance, if all weights were equal."""
        return self._mean_distance(torch.ones_like(self.weight, dtype=torch.float64))

    def _mean_distance(self, shares: torch.Tensor) -> float:
        shares = shares / shares.sum(1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
        rows, columns = (torch.arange(side, dtype=shares.dtype) for side in self.grid)
        places = torch.cartesian_prod(rows, columns)
        centres = shares @ places if self.kind == 'hidden units' else places
        return float((torch.cdist(centres, places) * shares).sum(1).mean())

    def as_image(self) -> torch.Tensor:
        """Return the matrix as an image.

        Matrices along one axis are shown as they are. Of matrices across the whole map, each output
        token is a map of its weights, which stands at the token's place; hidden units stand in
        their order, the first 64 of them.
        """
        height, width = self.grid
        if 1 in self.grid:
            return self.weight
        rows, columns = self.grid
        weight = self.weight
        if self.kind == 'hidden units':
            columns = min(8, len(weight))
            rows = min(HIDDEN_UNITS_SHOWN, len(weight)) // columns
            weight = weight[: rows * columns]
        maps = weight.reshape(rows, columns, height, width)
        # A line of nothing between the maps.
        framed = nn.functional.pad(maps, (0, 1, 0, 1), value=math.nan)
        return framed.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)[:-1, :-1]


@dataclass(frozen=True)
class Sparsity:
    """Share of a layer's weights that are small.

    Attributes:
        name: Name of the weight in the backbone.
        block: Number of the block in the network, from 1.
        kind: Name of the layer in its block.
        share: Share of the weights below :data:`THRESHOLD` of the largest one.
    """

    name: str
    block: int
    kind: str
    share: float


def mixing_matrices(backbone: VisionMLP) -> list[MixingMatrix]:
    """Return the matrices that mix tokens; none if the network has no such layers."""
    return list(_matrices(backbone))


def _matrices(backbone: VisionMLP) -> Iterator[MixingMatrix]:
    blocks = [layer for layer in layers_of(backbone) if layer.is_block]
    for number, layer in enumerate(blocks, start=1):
        for name, module in layer.module.named_modules(prefix=layer.name):
            if isinstance(module, DenseMixing):
                kind = 'all tokens' if module.fc2 is None else 'hidden units'
                weight, grid = module.fc1.weight, (module.side, module.side)
            elif isinstance(module, AxialMixing):
                kind = 'height' if module.dim == 1 else 'width'
                weight, grid = module.weight, (len(module.weight), 1)
            elif isinstance(module, SegmentMixing):
                kind = 'height' if module.dim == 1 else 'width'
                tokens, segment = module.tokens, module.segment
                of_channels = module.linear.weight.reshape(tokens, segment, tokens, segment)
                weight, grid = of_channels.square().mean((1, 3)).sqrt(), (tokens, 1)
            else:
                continue
            yield MixingMatrix(name, layer.title, number, kind, weight.detach().cpu(), grid)


def measure_sparsity(backbone: VisionMLP) -> list[Sparsity]:
    """Measure the share of small weights of all linear layers and convolutions in the blocks."""
    measured = []
    blocks = [layer for layer in layers_of(backbone) if layer.is_block]
    for number, layer in enumerate(blocks, start=1):
        for name, weight in layer.module.named_parameters():
            # Each token of a region of Hire-MLP has a bias, so some biases are matrices too.
            if weight.ndim < 2 or not name.endswith('weight'):
                continue
            sizes = weight.detach().abs()
            share = float((sizes < THRESHOLD * sizes.max()).float().mean())
            kind = name.removesuffix('.weight')
            measured.append(Sparsity(f'{layer.name}.{name}', number, kind, share))
    return measured


@torch.no_grad()
def zero_smallest_weights(backbone: VisionMLP, kind: str, share: float) -> int:
    """Set the smallest weights of each layer of one kind to zero, in place.

    Args:
        backbone: The backbone.
        kind: Beginning of the layers' names in their blocks, such as ``'token_mixing'`` or
            ``'channel_mlp.fc1'``; see :attr:`Sparsity.kind`.
        share: Share of each layer's weights, from 0 to 1.

    Returns:
        Number of weights that were set to zero.

    Raises:
        ValueError: If the share is not accepted, or no layer is of this kind.
    """
    if not 0 <= share <= 1:
        raise ValueError(f'share={share!r}: a number from 0 to 1 is accepted')
    kinds = {each.kind for each in measure_sparsity(backbone)}
    if not any(f'{each}.'.startswith(f'{kind}.') for each in kinds):
        raise ValueError(f'kind={kind!r}: {", ".join(sorted(kinds))} are accepted')
    zeroed = 0
    for each in measure_sparsity(backbone):
        if f'{each.kind}.'.startswith(f'{kind}.'):
            weight = backbone.get_parameter(each.name).data
            smallest = weight.abs().flatten().argsort()[: round(share * weight.numel())]
            weight.view(-1)[smallest] = 0
            zeroed += len(smallest)
    return zeroed
