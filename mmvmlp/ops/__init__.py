"""Token and channel mixing, one idea a file."""

from mmvmlp.ops.channel_mlp import ChannelMLP
from mmvmlp.ops.drop_path import DropPath
from mmvmlp.ops.norm import build_norm
from mmvmlp.ops.region import RegionMixing

__all__ = ['ChannelMLP', 'DropPath', 'RegionMixing', 'build_norm']
