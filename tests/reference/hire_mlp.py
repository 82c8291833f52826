"""Hire-MLP's token mixing, written down step by step as the paper and the official code have it.

Slow and literal: tensors are shifted, padded, rearranged, mixed by pointwise layers and brought
back, each in a step of its own. It takes its weights from the module it is compared with.
"""

import torch
from torch.nn import functional

from mmvmlp.backbones.hire_mlp import HireModule
from mmvmlp.ops import RegionMixing


def shifted(x: torch.Tensor, step: int, dim: int) -> torch.Tensor:
    """Move every token by a step, around the end: section 3.2, cross-region rearrangement."""
    side = x.shape[dim]
    return torch.stack([x.select(dim, (i - step) % side) for i in range(side)], dim)


def padded(x: torch.Tensor, region: int, dim: int) -> torch.Tensor:
    """Repeat the map from its start until its side is a multiple of the region."""
    side = x.shape[dim]
    whole = (side + region - 1) // region * region
    return torch.stack([x.select(dim, i % side) for i in range(whole)], dim)


def region_mixing(x: torch.Tensor, module: RegionMixing) -> torch.Tensor:
    """Do what a :class:`RegionMixing` does to a map (N, C, H, W), in eval mode."""
    dim, region = module.dim, module.region
    if dim == 3:
        transposed = _with_transposed_weights(module)
        return region_mixing(x.transpose(2, 3), transposed).transpose(2, 3)
    batch, channels, height, width = x.shape
    x = padded(shifted(x, module.shift, dim), region, dim)
    regions = x.shape[dim] // region
    x = x.reshape(batch, channels, regions, region, width).permute(0, 1, 3, 2, 4)
    x = x.reshape(batch, channels * region, regions, width)
    x = functional.conv2d(x, module.reduce.weight.reshape(-1, channels * region, 1, 1))
    x = functional.relu(module.norm(x))
    weight = module.expand.weight.reshape(-1, channels * region).t()[:, :, None, None]
    x = functional.conv2d(x, weight, module.expand.bias.reshape(-1))
    x = x.reshape(batch, channels, region, regions, width).permute(0, 1, 3, 2, 4)
    x = x.reshape(batch, channels, regions * region, width)[:, :, :height]
    return shifted(x, -module.shift, dim)


def _with_transposed_weights(module: RegionMixing) -> RegionMixing:
    channels = module.reduce.in_channels
    mixing = RegionMixing(channels, module.region, module.shift, 'height', {'type': 'BN'})
    mixing.to(module.reduce.weight.dtype)
    state = module.state_dict()
    for key, tensor in mixing.state_dict().items():
        tensor.copy_(state[key].reshape(tensor.shape))
    return mixing.train(module.training)


def hire_module(x: torch.Tensor, module: HireModule) -> torch.Tensor:
    """Do what a :class:`HireModule` does to a map (N, C, H, W), in eval mode."""
    batch, channels = x.shape[:2]
    branches = torch.stack(
        [region_mixing(x, module.height), region_mixing(x, module.width), module.channel(x)], -1
    )
    pooled = branches.sum(-1).mean((2, 3))
    for layer in module.reweight:
        pooled = layer(pooled)
    weights = pooled.reshape(batch, channels, 3).softmax(-1)
    return module.projection((branches * weights[:, :, None, None]).sum(-1))
