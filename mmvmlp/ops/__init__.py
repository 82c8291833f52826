"""Token and channel mixing, one idea a file."""

from mmvmlp.ops.axial import AxialMixing
from mmvmlp.ops.channel_mlp import ChannelMLP
from mmvmlp.ops.drop_path import DropPath
from mmvmlp.ops.layer_norm import LayerNorm2d
from mmvmlp.ops.norm import build_norm
from mmvmlp.ops.patch_embedding import PatchEmbedding
from mmvmlp.ops.region import RegionMixing
from mmvmlp.ops.resample import RESOLUTIONS, Resolution

__all__ = [
    'RESOLUTIONS',
    'AxialMixing',
    'ChannelMLP',
    'DropPath',
    'LayerNorm2d',
    'PatchEmbedding',
    'RegionMixing',
    'Resolution',
    'build_norm',
]
