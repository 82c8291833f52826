"""Pointwise convolutions, as linear layers where those are faster."""

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.execution import runs_as_written

Activation = Literal['none', 'relu', 'gelu']


@lru_cache
def onednn_linear(overload: Literal['default', 'binary']) -> Any:
    """Return oneDNN's linear layer with an activation (default) or an addition (binary)."""
    # Found once, for looking it up takes longer than a small product.
    return getattr(torch.ops.mkldnn._linear_pointwise, overload)


def pointwise(conv: nn.Conv2d, x: torch.Tensor, activation: Activation = 'none') -> torch.Tensor:
    """Apply a pointwise convolution and an activation: (N, C, H, W) to (N, out, H, W).

    On a CPU without gradients both are one linear layer of oneDNN, which is faster than its
    convolution. A module with hooks, and one that replaces the convolution, is called.

    Args:
        conv: Pointwise convolution.
        x: Feature map.
        activation: Operation after it.
    """
    if _is_linear(conv, x):
        weight, tokens = conv.weight.flatten(1), x.permute(0, 2, 3, 1).contiguous()
        mixed = onednn_linear('default')(tokens, weight, conv.bias, activation, [], 'none')
        return mixed.permute(0, 3, 1, 2)  # type: ignore[no-any-return]
    mixed = conv(x)
    if activation == 'none':
        return mixed  # type: ignore[no-any-return]
    return functional.relu(mixed) if activation == 'relu' else functional.gelu(mixed)


def is_plain(conv: nn.Module) -> bool:
    """Return True if a convolution may be computed from its parameters, without calling it.

    A module that replaces it, such as an adapter or a quantised layer, and hooks must be called.
    """
    hooks = conv._forward_hooks, conv._forward_pre_hooks, conv._backward_hooks
    return type(conv) is nn.Conv2d and not any(hooks) and not conv._backward_pre_hooks


def _is_linear(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and runs_as_written(x)
        and torch._C._has_mkldnn
        and not torch.is_autocast_enabled('cpu')
        and is_plain(conv)
        and x.dtype == conv.weight.dtype == torch.float32
        and x.numel() > 0
    )
