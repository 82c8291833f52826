"""Patch embedding: a convolution with stride equal to its kernel size, for any image size."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.norm import build_norm


class PatchEmbedding(nn.Module):
    """Projects non-overlapping patches; also used for patch merging between stages.

    Incomplete patches at the right and lower border are padded with zeros.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        patch_size: Side of a patch.
        bias: True for a projection with bias.
        norm_cfg: Norm after the projection; by default none.
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
        # Constant padding, for exported graphs: the convolution ignores excess columns and rows.
        complete = runs_as_written(x) and not any(side % (self.padding + 1) for side in x.shape[2:])
        if not complete:
            x = functional.pad(x, (0, self.padding, 0, self.padding))
        x = self.conv(x)
        patches: torch.Tensor = self.norm(x)
        return patches
