"""Exact folding of norms and LayerScale into the linear layers around them, for inference."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from mmvmlp.ops.affine import Affine
from mmvmlp.ops.layer_norm import LayerNorm2d


class ChannelNormalisation(nn.Module):
    """Layer norm over the last dimension without scale and offset.

    Args:
        eps: Added to the variance.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise: (..., C) to (..., C)."""
        return functional.layer_norm(x, x.shape[-1:], eps=self.eps)


class MapNormalisation(nn.Module):
    """Normalisation of each image's feature map as a whole, without scale and offset.

    Args:
        eps: Added to the variance.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise: (N, ..., C) to (N, ..., C)."""
        # One group: the order of channels and positions does not matter.
        return torch.group_norm(x, 1, eps=self.eps)


def split_norm(norm: nn.Module) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Split a norm into what depends on the input, and a scale and an offset for each channel.

    Args:
        norm: Batch norm in evaluation mode, layer norm, group norm with one group, or affine layer.

    Returns:
        Normalisation of (N, ..., C); scale and offset (C) in float64, to be applied after it.

    Raises:
        ValueError: If the norm has no such form, as a group norm with several groups.
    """
    if isinstance(norm, nn.GroupNorm) and norm.num_groups == 1 and norm.affine:
        return MapNormalisation(norm.eps), norm.weight.double(), norm.bias.double()
    if isinstance(norm, LayerNorm2d):
        return ChannelNormalisation(norm.eps), norm.weight.double(), norm.bias.double()
    if isinstance(norm, Affine):
        return nn.Identity(), norm.weight.double(), norm.bias.double()
    if isinstance(norm, _BatchNorm) and norm.running_mean is not None:
        assert norm.running_var is not None
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.affine:
            scale = scale * norm.weight.double()
        offset = -norm.running_mean.double() * scale
        if norm.affine:
            offset = offset + norm.bias.double()
        return nn.Identity(), scale, offset
    raise ValueError(
        f'{norm}: a batch norm with running statistics, a layer norm, a group norm with one group '
        'or an affine layer is accepted'
    )


def channel_affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and offset (C), in float64, of a norm that depends on nothing else.

    Args:
        norm: Batch norm in evaluation mode, or affine layer.

    Raises:
        ValueError: If the norm computes statistics of its input.
    """
    normalisation, scale, offset = split_norm(norm)
    if not isinstance(normalisation, nn.Identity):
        raise ValueError(f'{norm}: a batch norm or an affine layer is accepted')
    return scale, offset


def pointwise_weights(conv: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (out, in) and bias (out) of a pointwise convolution, in float64."""
    weight = conv.weight.double().flatten(1)
    return weight, weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.double()


def folded_convolution(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """Return a convolution that includes the norm after it.

    Args:
        conv: Any convolution.
        norm: Batch norm in evaluation mode, or affine layer.

    Raises:
        ValueError: If the norm computes statistics of its input.
    """
    scale, offset = channel_affine(norm)
    bias = offset if conv.bias is None else conv.bias.double() * scale + offset
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        folded.weight.copy_(conv.weight.double() * scale[:, None, None, None])
        assert folded.bias is not None
        folded.bias.copy_(bias)
    # The layout of the backbones' maps; another one would be converted on each call.
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
