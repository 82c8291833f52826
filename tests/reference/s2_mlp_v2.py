"""S²-MLPv2, as the formulas and algorithms of the paper have it, line by line.

Maps are w x h x c as there, one image at a time, without batches. Weights come from the module that
is compared with it.
"""

import torch
from torch import nn

from mmvmlp.backbones.s2_mlp_v2 import S2MLPv2, S2Module, S2v2Block


def spatial_shift1(old: torch.Tensor) -> torch.Tensor:
    """Shift (w, h, c); it reads the old map, so that no value moves twice."""
    new = old.clone()
    w, h, c = old.shape
    new[1:, :, : c // 4] = old[: w - 1, :, : c // 4]
    new[: w - 1, :, c // 4 : c // 2] = old[1:, :, c // 4 : c // 2]
    new[:, 1:, c // 2 : c * 3 // 4] = old[:, : h - 1, c // 2 : c * 3 // 4]
    new[:, : h - 1, 3 * c // 4 :] = old[:, 1:, 3 * c // 4 :]
    return new


def spatial_shift2(old: torch.Tensor) -> torch.Tensor:
    """Shift (w, h, c) with the axes swapped; it reads the old map, so that no value moves twice."""
    new = old.clone()
    w, h, c = old.shape
    new[:, 1:, : c // 4] = old[:, : h - 1, : c // 4]
    new[:, : h - 1, c // 4 : c // 2] = old[:, 1:, c // 4 : c // 2]
    new[1:, :, c // 2 : c * 3 // 4] = old[: w - 1, :, c // 2 : c * 3 // 4]
    new[: w - 1, :, 3 * c // 4 :] = old[1:, :, 3 * c // 4 :]
    return new


def split_attention(
    parts: list[torch.Tensor], weight1: torch.Tensor, weight2: torch.Tensor
) -> torch.Tensor:
    """Weigh and add K matrices (n, c) of tokens.

    Args:
        parts: X_1 to X_K.
        weight1: (c, hidden).
        weight2: (hidden, K c).
    """
    n, c = parts[0].shape
    ones = torch.ones(n, dtype=parts[0].dtype)
    a = sum(ones @ part for part in parts)
    a = gelu(a @ weight1) @ weight2
    weights = a.reshape(len(parts), c).exp()
    weights = weights / weights.sum(0)
    return sum(weights[k] * parts[k] for k in range(len(parts)))


def s2_module(x: torch.Tensor, module: S2Module) -> torch.Tensor:
    """Mix tokens (w, h, c): expand, split, shift, weigh, project."""
    w, h, c = x.shape
    x = linear(x, module.expansion)
    x1, x2, x3 = x[:, :, :c], x[:, :, c : 2 * c], x[:, :, 2 * c :]
    parts = [part.reshape(w * h, c) for part in (spatial_shift1(x1), spatial_shift2(x2), x3)]
    first, _, second = module.attention
    mixed = split_attention(parts, first.weight.t(), second.weight.t())
    return linear(mixed.reshape(w, h, c), module.projection)


def block(x: torch.Tensor, module: S2v2Block) -> torch.Tensor:
    """Mix tokens, then channels: (w, h, c)."""
    x = x + s2_module(norm(x, module.norm1), module.token_mixing)
    hidden = gelu(linear(norm(x, module.norm2), module.channel_mlp.fc1))
    return x + linear(hidden, module.channel_mlp.fc2)


def maps(network: S2MLPv2, image: torch.Tensor) -> list[torch.Tensor]:
    """Compute the maps (1, C, H, W) of all stages of an image (1, 3, H, W) of whole patches."""
    x, found = patches(image[0].permute(2, 1, 0), network.stem.conv), []
    for stage in network.stages:
        if not isinstance(stage.downsample, nn.Identity):
            x = patches(x, stage.downsample.conv)
        for each in stage.blocks:
            x = block(x, each)
        found.append(x.permute(2, 1, 0)[None])
    return found


def patches(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """Project the p x p patches of a map (w, h, c)."""
    p, (w, h, c) = layer.kernel_size[0], x.shape
    x = x.reshape(w // p, p, h // p, p, c).permute(0, 2, 4, 3, 1)
    return x.reshape(w // p, h // p, c * p * p) @ layer.weight.flatten(1).t() + layer.bias


def linear(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """Apply a linear layer to channels."""
    return x @ layer.weight.flatten(1).t() + layer.bias


def norm(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """Normalise the channels of each token."""
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return x * layer.weight + layer.bias


def gelu(x: torch.Tensor) -> torch.Tensor:
    """Multiply by the normal distribution function."""
    return x * (1 + torch.erf(x / 2**0.5)) / 2
