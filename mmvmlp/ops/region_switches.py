"""Region mixing with the switches of the paper's ablations, which the published networks leave off.

Source: Hire-MLP (arXiv 2108.13341), the ablation studies of both versions. As in the official
code, the map is shifted first, always around its end, and completed then: the padding's values
come from the shifted map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.norm import build_norm
from mmvmlp.ops.recomputed import gathered
from mmvmlp.ops.region import RegionExpansion, RegionMixing

Padding = Literal['circular', 'zero', 'reflect', 'replicate']
Exchange = Literal['shift', 'shuffle']


@dataclass(frozen=True)
class RegionSwitches:
    """Switches of region mixing; by default those of the published networks.

    Attributes:
        padding: Values that complete the shifted map at its end to a multiple of the region: the
            map again from its start, zeros, the map mirrored at its last token (and at its first
            one again, if it is short; a single token repeats), or its last token.
        restoration: True to bring mixed tokens back to where they came from, False to leave them
            where the exchange has moved them.
        exchange: ``'shift'`` shifts the map by some tokens. ``'shuffle'``, in blocks that would
            shift it, forms region i of the n regions of the completed map from the tokens i, i + n,
            i + 2n and so on, as ShuffleNet shuffles channels.
        layers: Fully connected layers: C·p to C·p; C·p to C/2 to C·p; or C·p to C/2 to C/2 to C·p,
            for regions of p tokens. A norm and a ReLU follow all but the last.
    """

    padding: Padding = 'circular'
    restoration: bool = True
    exchange: Exchange = 'shift'
    layers: int = 2


class SwitchedRegionMixing(nn.Module):
    """Mixes all channels of the tokens in each region along H or W.

    Args:
        channels: Number of channels C.
        region: Tokens per region.
        shift: Shift of the regions in tokens; any integer.
        axis: Axis along which tokens are mixed.
        norm_cfg: Norms.
        switches: Switches.
    """

    def __init__(
        self,
        channels: int,
        region: int,
        shift: int,
        axis: Literal['height', 'width'],
        norm_cfg: Mapping[str, Any],
        switches: RegionSwitches,
    ) -> None:
        super().__init__()
        self.region = region
        self.padding = switches.padding
        self.restoration = switches.restoration
        self.shuffles = switches.exchange == 'shuffle' and shift != 0
        self.shift = 0 if self.shuffles else shift
        self.layers = switches.layers
        self.dim = 2 if axis == 'height' else 3
        hidden = channels // 2
        kernel = (region, 1) if axis == 'height' else (1, region)
        if self.layers == 1:
            self.mix = nn.Conv2d(channels, region * channels, kernel, stride=kernel)
            return
        self.reduce = nn.Conv2d(channels, hidden, kernel, stride=kernel, bias=False)
        self.norm = build_norm(norm_cfg, hidden)
        if self.layers == 3:
            self.middle = nn.Conv2d(hidden, hidden, 1, bias=False)
            self.middle_norm = build_norm(norm_cfg, hidden)
        self.expand = RegionExpansion(hidden, channels, region, axis)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix within regions: (N, C, H, W) to (N, C, H, W), at any H and W."""
        side = x.shape[self.dim]
        mixed = self._mixed(self._rearranged(x, side))
        return gathered(mixed, self.dim, self._positions(side, x.device))

    def _rearranged(self, x: torch.Tensor, side: int) -> torch.Tensor:
        """Shift or shuffle, and complete."""
        # Constant padding, for exported graphs: convolutions ignore an incomplete last region.
        position = torch.arange(side + self.region - 1, device=x.device)
        if self.shuffles:
            regions = self._number_of_regions(side)
            position = position // self.region + position % self.region * regions
        if self.padding == 'reflect':
            period = torch.sym_max(2 * (side - 1), 1)  # type: ignore[no-untyped-call]
            token = torch.minimum(position % period, period - position % period)
        elif self.padding == 'replicate':
            token = position.clamp(max=side - 1)
        else:
            token = position % side
        rearranged = gathered(x, self.dim, (token - self.shift) % side)
        if self.padding != 'zero':
            return rearranged
        added = position >= side
        return rearranged.masked_fill(added[:, None] if self.dim == 2 else added, 0)

    def _mixed(self, x: torch.Tensor) -> torch.Tensor:
        """Mix each region.

        Returns:
            Tokens by region; of a single layer, first tokens of all regions, then second ones.
        """
        if self.layers == 1:
            return torch.cat(self.mix(x).chunk(self.region, 1), self.dim)
        hidden = functional.relu(self.norm(self.reduce(x)))
        if self.layers == 3:
            hidden = functional.relu(self.middle_norm(self.middle(hidden)))
        expanded: torch.Tensor = self.expand(hidden)
        return expanded

    def _positions(self, side: int, device: torch.device) -> torch.Tensor:
        """Return the positions, among the mixed tokens, of those that make up the map."""
        position = torch.arange(side, device=device)
        regions = self._number_of_regions(side)
        if self.restoration and self.shuffles:
            position = position % regions * self.region + position // regions
        elif self.restoration:
            position = (position + self.shift) % side
        if self.layers == 1:
            position = position % self.region * regions + position // self.region
        return position

    def _number_of_regions(self, side: int) -> int:
        return (side + self.region - 1) // self.region

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        exchange = 'shuffle' if self.shuffles else f'shift={self.shift}'
        return (
            f'region={self.region}, {exchange}, dim={self.dim}, padding={self.padding}, '
            f'restoration={self.restoration}'
        )


def build_region_mixing(
    channels: int,
    region: int,
    shift: int,
    axis: Literal['height', 'width'],
    norm_cfg: Mapping[str, Any],
    switches: RegionSwitches,
) -> RegionMixing | SwitchedRegionMixing:
    """Build region mixing, the published one if no switch is set; arguments as there."""
    if switches == RegionSwitches():
        return RegionMixing(channels, region, shift, axis, norm_cfg)
    return SwitchedRegionMixing(channels, region, shift, axis, norm_cfg, switches)
