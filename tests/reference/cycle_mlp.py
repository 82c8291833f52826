"""CycleMLP's Cycle FC along one axis, with the official offsets, position by position."""

import torch


def cycle_fc(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, axis: str) -> torch.Tensor:
    """Map (N, C, H, W) to (N, out, H, W), channel c from (c + 1) mod 3 - 1 tokens further on."""
    lines = x.transpose(2, 3) if axis == 'height' else x
    batch, channels, rows, length = lines.shape
    mixed = bias[:, None, None].repeat(batch, 1, rows, length)
    for channel in range(channels):
        distance = (channel + 1) % 3 - 1
        for position in range(length):
            if 0 <= position + distance < length:
                taken = lines[:, channel, :, position + distance]
                mixed[..., position] += weight[:, channel, None] * taken[:, None]
    return mixed.transpose(2, 3) if axis == 'height' else mixed
