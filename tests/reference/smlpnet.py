"""sMLPNet's token mixing and the image-size policies, as they are written down, line by line."""

from typing import Any

import torch
from torch.nn import functional

from mmvmlp.backbones.smlpnet import SMLPNetArchitecture, SMLPNetBlock, SparseMLP
from reference.dense import dense_mixing


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


def mixed_rows(x: torch.Tensor, layer: Any) -> torch.Tensor:
    """Mix along each row, one at a time: (1, C, H, W) to (1, C, H, W)."""
    mixed = torch.empty_like(x)
    for row in range(x.shape[2]):
        line = x[0, :, row, :].t()
        mixed[0, :, row, :] = mixed_line(line, layer.weight, layer.bias, layer.resolution).t()
    return mixed


def mixed_columns(x: torch.Tensor, layer: Any) -> torch.Tensor:
    """Mix along each column, one at a time: (1, C, H, W) to (1, C, H, W)."""
    return mixed_rows(x.mT, layer).mT


def sparse_mlp(x: torch.Tensor, module: SparseMLP) -> torch.Tensor:
    """Mix along each row and each column of the same map: (1, C, H, W) to (1, C, H, W)."""
    x = module.before(x)
    weight = module.fuse.weight[:, :, 0, 0]
    stacked = torch.cat([x, mixed_rows(x, module.width), mixed_columns(x, module.height)], 1)
    return torch.einsum('oc,nchw->nohw', weight, stacked)


def ablated_sparse_mlp(
    x: torch.Tensor, module: SparseMLP, arch: SMLPNetArchitecture
) -> torch.Tensor:
    """Mix along rows and columns in the order of an ablation, and fuse as it does."""
    x = module.before(x)
    rows = mixed_rows(x, module.width)
    if arch.order == 'serial':
        maps = [mixed_columns(rows, module.height)]
    else:
        maps = [rows, mixed_columns(x, module.height)]
    if arch.identity:
        maps = [x, *maps]
    if arch.fusion == 'concatenation':
        return torch.einsum('oc,nchw->nohw', module.fuse.weight[:, :, 0, 0], torch.cat(maps, 1))
    if arch.fusion == 'sum':
        return torch.stack(maps).sum(0)
    fused = torch.zeros_like(x)
    for channel in range(x.shape[1]):
        for branch, each in enumerate(maps):
            if arch.fusion == 'weighted_sum':
                weight = module.fuse.weight[branch, channel]
            else:
                pooled = torch.stack(maps).sum(0).mean((2, 3))[0]
                fc1, gelu, fc2 = module.fuse.attention
                scores = fc2(gelu(fc1(pooled)))
                of_channel = scores[len(maps) * channel : len(maps) * (channel + 1)].exp()
                weight = of_channel[branch] / of_channel.sum()
            fused[0, channel] += weight * each[0, channel]
    return fused


def ablated_block(
    x: torch.Tensor, block: SMLPNetBlock, arch: SMLPNetArchitecture, stage: int
) -> torch.Tensor:
    """Mix tokens as an ablation does, then channels: (1, C, H, W) to (1, C, H, W)."""
    mixed = x
    if arch.local:
        mixed = block.local(block.before(mixed))
    if arch.sparse[stage] and not arch.dense:
        mixed = ablated_sparse_mlp(mixed, block.sparse, arch)
    elif arch.sparse[stage] and stage > 0:
        mixed = dense_mixing(block.sparse.before(mixed), block.sparse.mixing)
    x = x + mixed
    return x + block.channel_mlp(block.norm(x))
