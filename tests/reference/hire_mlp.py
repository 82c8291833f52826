"""Hire-MLP's token mixing, written down step by step as the paper and the official code have it.

Slow and literal: tensors are shifted, padded, rearranged, mixed by pointwise layers and brought
back, each in a step of its own. It takes its weights from the module it is compared with.
"""

import numpy as np
import torch
from torch.nn import functional

from mmvmlp.backbones.hire_mlp import HireMLPArchitecture, HireModule
from mmvmlp.ops import RegionMixing
from mmvmlp.ops.region_switches import RegionSwitches, SwitchedRegionMixing


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


def switched_region_mixing(
    x: torch.Tensor, module: SwitchedRegionMixing, shift: int, switches: RegionSwitches
) -> torch.Tensor:
    """Do what a :class:`SwitchedRegionMixing` does to a map (N, C, H, W), in eval mode."""
    rows = list(x.unbind(module.dim))
    side, region = len(rows), module.region
    shuffles = switches.exchange == 'shuffle' and shift != 0
    step = 0 if shuffles else shift
    rows = [rows[(i - step) % side] for i in range(side)]
    rows += completion(rows, -side % region, switches.padding)
    number = len(rows) // region
    mixed = list(rows)
    for first in range(number):
        in_order = [first * region + i for i in range(region)]
        members = [first + i * number for i in range(region)] if shuffles else in_order
        tokens = region_layers([rows[i] for i in members], module, switches.layers)
        for place, token in zip(members if switches.restoration else in_order, tokens, strict=True):
            mixed[place] = token
    mixed = mixed[:side]
    if switches.restoration:
        mixed = [mixed[(i + step) % side] for i in range(side)]
    return torch.stack(mixed, module.dim)


def completion(rows: list[torch.Tensor], number: int, padding: str) -> list[torch.Tensor]:
    """Return the rows that follow a map's rows, by the modes of NumPy."""
    if padding == 'zero':
        return [torch.zeros_like(rows[0])] * number
    mode = {'circular': 'wrap', 'reflect': 'reflect', 'replicate': 'edge'}[padding]
    return [rows[i] for i in np.pad(np.arange(len(rows)), (0, number), mode)[len(rows) :]]


def region_layers(
    tokens: list[torch.Tensor], module: SwitchedRegionMixing, layers: int
) -> list[torch.Tensor]:
    """Mix p tokens (N, C, L) by fully connected layers of their C·p channels."""
    region, channels = len(tokens), tokens[0].shape[1]
    x = torch.stack(tokens, 2).flatten(1, 2)
    if layers == 1:
        weight, bias = module.mix.weight.flatten(1), module.mix.bias
        mixed = torch.einsum('oi,nil->nol', weight, x) + bias[:, None]
        return list(mixed.unflatten(1, (region, channels)).unbind(1))
    x = torch.einsum('oi,nil->nol', module.reduce.weight.flatten(1), x)
    x = functional.relu(module.norm(x[:, :, None])[:, :, 0])
    if layers == 3:
        x = torch.einsum('oi,nil->nol', module.middle.weight.flatten(1), x)
        x = functional.relu(module.middle_norm(x[:, :, None])[:, :, 0])
    weight, bias = module.expand.weight.flatten(1), module.expand.bias.flatten()
    mixed = torch.einsum('io,nil->nol', weight, x) + bias[:, None]
    return list(mixed.unflatten(1, (channels, region)).unbind(2))


def switched_hire_module(
    x: torch.Tensor, module: HireModule, arch: HireMLPArchitecture, stage: int, block: int
) -> torch.Tensor:
    """Do what a :class:`HireModule` with switches does to a map (N, C, H, W), in eval mode."""
    shift = block % arch.shift_periods[stage] * arch.shift_steps[stage]
    switches = RegionSwitches(arch.padding, arch.restoration, arch.exchange, arch.region_layers)
    branches = []
    if arch.height_branch:
        branches.append(switched_region_mixing(x, module.height, shift, switches))
    if arch.width_branch:
        branches.append(switched_region_mixing(x, module.width, shift, switches))
    if arch.channel_branch:
        branches.append(module.channel(x))
    together = torch.stack(branches, -1)
    if arch.weighting and len(branches) > 1:
        scores = together.sum(-1).mean((2, 3))
        for layer in module.reweight:
            scores = layer(scores)
        weights = scores.reshape(*x.shape[:2], len(branches)).softmax(-1)
        together = together * weights[:, :, None, None]
    return module.projection(together.sum(-1))
