"""Weights of a convolution for another number of image channels."""

import torch


def for_image_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Adapt a kernel to other channels: sum it for one, repeat and scale it for several.

    On images of equal channels, the sum gives what the kernel gave, and so do repeated weights if
    every channel is repeated equally often. Source: timm's ``adapt_input_conv``.

    Args:
        weight: (out, in, ...).
        channels: Channels of the image.

    Returns:
        (out, channels, ...).
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    given = weight.shape[1]
    return weight[:, torch.arange(channels) % given] * (given / channels)
