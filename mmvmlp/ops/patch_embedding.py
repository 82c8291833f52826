"""Patch embedding: a convolution whose kernel is its stride, at any image size."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.norm import build_norm


class PatchEmbedding(nn.Module):
    """Cuts a map into patches and projects each; it also merges patches between stages.

    Patches that the right or lower border cuts are completed with zeros, so that no pixel is
    left out.

    Args:
        in_channels: Channels of the map that comes in.
        out_channels: Channels of the map that goes out.
        patch_size: Side of a patch.
        bias: Whether the projection has a bias.
        norm_cfg: A norm behind the projection; none where it is not given.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        patch_size: int,
        *,
        bias: bool = True,
        norm_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, patch_size, patch_size, bias=bias)
        self.norm = nn.Identity() if norm_cfg is None else build_norm(norm_cfg, out_channels)
        self.padding = patch_size - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed patches: (N, in, H, W) to (N, out, H / patch_size, W / patch_size), rounded up."""
        # The padding does not depend on the size: what completes no patch is not read.
        x = self.conv(functional.pad(x, (0, self.padding, 0, self.padding)))
        patches: torch.Tensor = self.norm(x)
        return patches
