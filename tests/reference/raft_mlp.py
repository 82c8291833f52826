"""RaftMLP's token mixing and its image-size policies, as they are written down, line by line."""

import torch
from torch.nn import functional

from mmvmlp.backbones.raft_mlp import RaftTokenMixing
from mmvmlp.ops import RaftMixing


def mixed_line(line: torch.Tensor, module: RaftMixing) -> torch.Tensor:
    """Mix a column or row (tokens, C) of native size, one raft after the other."""
    rafts, size = line.shape[1] // module.raft_size, module.raft_size
    mixed = torch.empty_like(line)
    for raft in range(rafts):
        channels = [raft + number * rafts for number in range(size)]
        vector = torch.cat([line[:, channel] for channel in channels])
        vector = module.fc2(functional.gelu(module.fc1(vector)))
        for channel, part in zip(channels, vector.chunk(size), strict=True):
            mixed[:, channel] = part
    return mixed


def mixed_in_windows(line: torch.Tensor, module: RaftMixing) -> torch.Tensor:
    """Mix a column or row of any size in windows; the last one repeats the last token."""
    windows = []
    for first in range(0, len(line), module.tokens):
        window = line[first : first + module.tokens]
        missing = module.tokens - len(window)
        windows.append(mixed_line(torch.cat([window, line[-1:].repeat(missing, 1)]), module))
    return torch.cat(windows)[: len(line)]


def token_mixing(x: torch.Tensor, module: RaftTokenMixing) -> torch.Tensor:
    """Mix each column, then each row, one at a time: (1, C, H, W) to (1, C, H, W)."""
    size = x.shape[2:]
    if module.resizes:
        x = functional.interpolate(x, (module.tokens, module.tokens), mode='bicubic')
    normalised, mixed = module.norm1(x), torch.empty_like(x)
    for column in range(x.shape[3]):
        line = normalised[0, :, :, column].t()
        mixed[0, :, :, column] = mixed_in_windows(line, module.height).t()
    x = x + mixed
    normalised, mixed = module.norm2(x), torch.empty_like(x)
    for row in range(x.shape[2]):
        line = normalised[0, :, row, :].t()
        mixed[0, :, row, :] = mixed_in_windows(line, module.width).t()
    x = x + mixed
    return functional.interpolate(x, size, mode='bicubic') if module.resizes else x
