"""S2-MLP's spatial shift, as algorithm 1 and the text of section 3.3 have it, line by line."""

import torch
from torch.nn import functional


def algorithm_1(x: torch.Tensor) -> torch.Tensor:
    """Shift (1, C, H, W) as algorithm 1 does, whose map is w x h x c; it reads the old map."""
    old = x[0].permute(2, 1, 0)
    new = old.clone()
    w, h, c = old.shape
    new[1:, :, : c // 4] = old[: w - 1, :, : c // 4]
    new[: w - 1, :, c // 4 : c // 2] = old[1:, :, c // 4 : c // 2]
    new[:, 1:, c // 2 : c * 3 // 4] = old[:, : h - 1, c // 2 : c * 3 // 4]
    new[:, : h - 1, c * 3 // 4 :] = old[:, 1:, c * 3 // 4 :]
    return new.permute(2, 1, 0)[None]


def depthwise_convolution(x: torch.Tensor) -> torch.Tensor:
    """Shift (N, C, H, W) by a depthwise convolution of one-hot kernels, borders replicated."""
    channels = x.shape[1]
    kernels = torch.zeros(channels, 1, 3, 3, dtype=x.dtype)
    quarter = channels // 4
    kernels[:quarter, 0, 1, 0] = 1
    kernels[quarter : 2 * quarter, 0, 1, 2] = 1
    kernels[2 * quarter : 3 * quarter, 0, 0, 1] = 1
    kernels[3 * quarter :, 0, 2, 1] = 1
    padded = functional.pad(x, (1, 1, 1, 1), mode='replicate')
    return functional.conv2d(padded, kernels, groups=channels)


DIRECTIONS = {
    'four_directions': [(0, 1), (0, -1), (1, 0), (-1, 0)],
    'eight_directions': [
        *[(0, 1), (0, -1), (1, 0), (-1, 0)],
        *[(1, 1), (1, -1), (-1, 1), (-1, -1)],
    ],
    'right_and_down': [(0, 1), (1, 0)],
    'left_and_up': [(0, -1), (-1, 0)],
    'horizontal': [(0, 1), (0, -1)],
    'vertical': [(1, 0), (-1, 0)],
    'right': [(0, 1)],
    'left': [(0, -1)],
    'down': [(1, 0)],
    'up': [(-1, 0)],
    'none': [(0, 0)],
}


def ablated_shift(x: torch.Tensor, shift: str, still_group: bool) -> torch.Tensor:
    """Shift (1, C, H, W) as an ablation does, one channel and one token after the other."""
    directions = DIRECTIONS[shift] + ([(0, 0)] if still_group else [])
    _, channels, height, width = x.shape
    shifted = torch.empty_like(x)
    sizes = [
        channels // len(directions) + (number < channels % len(directions))
        for number in range(len(directions))
    ]
    group_of_channel = [number for number, size in enumerate(sizes) for _ in range(size)]
    for channel, group in enumerate(group_of_channel):
        down, right = directions[group]
        for row in range(height):
            for column in range(width):
                from_row = min(max(row - down, 0), height - 1)
                from_column = min(max(column - right, 0), width - 1)
                shifted[0, channel, row, column] = x[0, channel, from_row, from_column]
    return shifted
