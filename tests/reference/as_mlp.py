"""AS-MLP's axial shift, as section 3.2 has it, position by position."""

import math

import torch


def axial_shift(x: torch.Tensor, axis: str, size: int) -> torch.Tensor:
    """Shift channel c of (N, C, H, W) by c // ceil(C / size) - size // 2, with zeros outside."""
    lines = x.transpose(2, 3) if axis == 'height' else x
    moved = torch.zeros_like(lines)
    channels, length = x.shape[1], lines.shape[3]
    for channel in range(channels):
        step = channel // math.ceil(channels / size) - size // 2
        for position in range(length):
            if 0 <= position - step < length:
                moved[:, channel, :, position] = lines[:, channel, :, position - step]
    return moved.transpose(2, 3) if axis == 'height' else moved
