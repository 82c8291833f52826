"""sMLPNet's token mixing and the image-size policies, as they are written down, line by line."""

import torch
from torch.nn import functional

from mmvmlp.backbones.smlpnet import SparseMLP


def interpolated(line: torch.Tensor, size: int) -> torch.Tensor:
    """Interpolate (L, K) to (size, K) with PyTorch's antialiased linear kernel."""
    plane = line.t()[None, :, :, None].expand(-1, -1, -1, 2)
    resized = functional.interpolate(
        plane, (size, 2), mode='bilinear', align_corners=False, antialias=True
    )
    return resized[0, :, :, 0].t()


def mixed_line(
    line: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, resolution: str
) -> torch.Tensor:
    """Mix one line of tokens (L, K) by a layer made for ``len(bias)`` of them."""
    native, length = len(bias), len(line)
    if resolution == 'resize':
        mixed = weight @ interpolated(line, native) + bias[:, None]
        return interpolated(mixed, length)
    windows = []
    for first in range(0, length, native):
        window = line[first : first + native]
        missing = native - len(window)
        window = torch.cat([window, line[-1:].repeat(missing, 1)])
        windows.append(weight @ window + bias[:, None])
    return torch.cat(windows)[:length]


def sparse_mlp(x: torch.Tensor, module: SparseMLP) -> torch.Tensor:
    """Mix along each row and each column, one at a time: (1, C, H, W) to (1, C, H, W)."""
    x = module.before(x)
    resolution = module.width.resolution
    along_width, along_height = torch.empty_like(x), torch.empty_like(x)
    for row in range(x.shape[2]):
        line = x[0, :, row, :].t()
        mixed = mixed_line(line, module.width.weight, module.width.bias, resolution)
        along_width[0, :, row, :] = mixed.t()
    for column in range(x.shape[3]):
        line = x[0, :, :, column].t()
        mixed = mixed_line(line, module.height.weight, module.height.bias, resolution)
        along_height[0, :, :, column] = mixed.t()
    weight = module.fuse.weight[:, :, 0, 0]
    stacked = torch.cat([x, along_width, along_height], 1)
    return torch.einsum('oc,nchw->nohw', weight, stacked)
