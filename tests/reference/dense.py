"""Dense token mixing and the image-size policies, as they are written down, step by step."""

import torch
from torch.nn import functional

from mmvmlp.ops import DenseMixing


def mixed_map(x: torch.Tensor, module: DenseMixing) -> torch.Tensor:
    """Mix a map (1, C, h, w) of native size: one channel, one token after the other."""
    mixed = torch.empty_like(x)
    for channel in range(x.shape[1]):
        tokens = x[0, channel].flatten()
        tokens = module.fc1.weight @ tokens + module.fc1.bias
        if module.fc2 is not None:
            tokens = module.fc2.weight @ functional.gelu(tokens) + module.fc2.bias
        mixed[0, channel] = tokens.reshape(x.shape[2:])
    return mixed


def resized(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate a map with PyTorch's antialiased linear kernel."""
    return functional.interpolate(
        x, (height, width), mode='bilinear', align_corners=False, antialias=True
    )


def dense_mixing(x: torch.Tensor, module: DenseMixing) -> torch.Tensor:
    """Mix a map (1, C, H, W) of any size by the module's policy."""
    side, (height, width) = module.side, x.shape[2:]
    if module.resolution == 'resize':
        return resized(mixed_map(resized(x, side, side), module), height, width)
    mixed = torch.empty_like(x)
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = x[:, :, top : top + side, left : left + side]
            rows, columns = window.shape[2:]
            completed = functional.pad(
                window, (0, side - columns, 0, side - rows), mode='replicate'
            )
            mixed[:, :, top : top + rows, left : left + columns] = mixed_map(completed, module)[
                :, :, :rows, :columns
            ]
    return mixed
