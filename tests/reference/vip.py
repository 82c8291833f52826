"""ViP's token mixing and the image-size policies, line by line, and the network's official keys."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops import SegmentMixing
from reference.smlpnet import interpolated


def mixed_line(line: torch.Tensor, weight: torch.Tensor, segments: int) -> torch.Tensor:
    """Mix one line of tokens (T, C) of native length: one segment of the channels at a time."""
    mixed = torch.empty_like(line)
    size = line.shape[1] // segments
    for first in range(0, line.shape[1], size):
        tokens = line[:, first : first + size]
        mixed[:, first : first + size] = (weight @ tokens.flatten()).reshape(tokens.shape)
    return mixed


def line_of_any_length(line: torch.Tensor, module: SegmentMixing) -> torch.Tensor:
    """Mix one line of tokens (L, C) by the module's policy."""
    native, length, segments = module.tokens, len(line), line.shape[1] // module.segment
    weight = module.linear.weight[:, :, 0, 0]
    if module.resolution == 'resize':
        return interpolated(mixed_line(interpolated(line, native), weight, segments), length)
    windows = []
    for first in range(0, length, native):
        window = line[first : first + native]
        completed = torch.cat([window, line[-1:].repeat(native - len(window), 1)])
        windows.append(mixed_line(completed, weight, segments))
    return torch.cat(windows)[:length]


def segment_mixing(x: torch.Tensor, module: SegmentMixing) -> torch.Tensor:
    """Mix each column (dim 1) or row (dim 2), one at a time: (1, C, H, W) to (1, C, H, W)."""
    mixed = torch.empty_like(x)
    across = 3 if module.dim == 1 else 2
    for number in range(x.shape[across]):
        line = x[0].select(across - 1, number).t()
        mixed[0].select(across - 1, number).copy_(line_of_any_length(line, module).t())
    return mixed


class Permutator(nn.Module):
    """The network at its native size, with the official names of its parameters.

    Args:
        arch: Fields of ``ViPArchitecture``.
    """

    def __init__(self, arch: Mapping[str, Any]) -> None:
        super().__init__()
        channels, strides, self.segments = arch['channels'], arch['strides'], arch['segments']
        stem = nn.Conv2d(3, channels[0], strides[0], strides[0])
        self.patch_embed = nn.ModuleDict({'proj': stem})
        self.network = nn.ModuleList()
        self.stage_of_entry: list[int | None] = []
        for stage, depth in enumerate(arch['depths']):
            self.stage_of_entry.append(stage)
            self.network.append(
                nn.ModuleList(_block(channels[stage], arch['mlp_ratio']) for _ in range(depth))
            )
            for before, after in pairwise(strides[stage : stage + 2]):
                if before != after:
                    self.stage_of_entry.append(None)
                    merging = nn.Conv2d(channels[stage], channels[stage + 1], 2, 2)
                    self.network.append(nn.ModuleDict({'proj': merging}))
        self.norm = nn.LayerNorm(channels[-1])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the last map after its norm: (N, 3, H, W) to (N, h, w, C)."""
        x = self.patch_embed['proj'](image).permute(0, 2, 3, 1)
        for entry, stage in zip(self.network, self.stage_of_entry, strict=True):
            if stage is None:
                x = entry['proj'](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                continue
            for block in entry:
                x = x + _mixed(block['norm1'](x), block['attn'], self.segments[stage])
                x = x + _mlp(block['norm2'](x), block['mlp'])
        normalised: torch.Tensor = self.norm(x)
        return normalised


def _block(channels: int, mlp_ratio: float) -> nn.ModuleDict:
    def mlp(hidden: int, out: int) -> nn.ModuleDict:
        return nn.ModuleDict({'fc1': nn.Linear(channels, hidden), 'fc2': nn.Linear(hidden, out)})

    attention = nn.ModuleDict(
        {
            **{f'mlp_{axis}': nn.Linear(channels, channels, bias=False) for axis in 'hwc'},
            'reweight': mlp(channels // 4, 3 * channels),
            'proj': nn.Linear(channels, channels),
        }
    )
    return nn.ModuleDict(
        {
            'norm1': nn.LayerNorm(channels),
            'attn': attention,
            'norm2': nn.LayerNorm(channels),
            'mlp': mlp(int(channels * mlp_ratio), channels),
        }
    )


def _mlp(x: torch.Tensor, layers: Any) -> torch.Tensor:
    mixed: torch.Tensor = layers['fc2'](functional.gelu(layers['fc1'](x)))
    return mixed


def _mixed(x: torch.Tensor, layers: Any, segments: int) -> torch.Tensor:
    """Mix a map (N, H, W, C) with H = W = ``segments``."""
    size = x.shape[3] // segments
    split = x.unflatten(3, (segments, size))

    def matrix(axis: str) -> torch.Tensor:
        weight: torch.Tensor = layers[f'mlp_{axis}'].weight
        return weight.reshape(segments, size, segments, size)

    along_height = torch.einsum('itjs,njwgs->niwgt', matrix('h'), split).flatten(3)
    along_width = torch.einsum('itjs,nhjgs->nhigt', matrix('w'), split).flatten(3)
    branches = [along_height, along_width, layers['mlp_c'](x)]
    scores = _mlp(sum(branches).mean((1, 2)), layers['reweight'])
    weights = scores.reshape(len(x), -1, 3).softmax(2)[:, None, None]
    weighted = [branch * weights[..., number] for number, branch in enumerate(branches)]
    mixed: torch.Tensor = layers['proj'](sum(weighted))
    return mixed
