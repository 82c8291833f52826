"""Layers for token and channel mixing, one per file."""

from mmvmlp.ops.affine import Affine
from mmvmlp.ops.axial import AxialMixing
from mmvmlp.ops.axial_shift import axial_shift
from mmvmlp.ops.channel_mlp import ChannelMLP
from mmvmlp.ops.cycle_shift import cycle_shift
from mmvmlp.ops.dense import DenseMixing
from mmvmlp.ops.drop_path import DropPath
from mmvmlp.ops.layer_norm import LayerNorm2d
from mmvmlp.ops.layer_scale import LayerScale
from mmvmlp.ops.map_norm import MapNorm
from mmvmlp.ops.norm import build_norm
from mmvmlp.ops.patch_embedding import PatchEmbedding
from mmvmlp.ops.raft import RaftMixing
from mmvmlp.ops.region import RegionMixing
from mmvmlp.ops.resample import RESOLUTIONS, Resolution, resampled
from mmvmlp.ops.segment import SegmentMixing
from mmvmlp.ops.shift import spatial_shift
from mmvmlp.ops.split_attention import SplitAttention, SummedSplitAttention

__all__ = [
    'RESOLUTIONS',
    'Affine',
    'AxialMixing',
    'ChannelMLP',
    'DenseMixing',
    'DropPath',
    'LayerNorm2d',
    'LayerScale',
    'MapNorm',
    'PatchEmbedding',
    'RaftMixing',
    'RegionMixing',
    'Resolution',
    'SegmentMixing',
    'SplitAttention',
    'SummedSplitAttention',
    'axial_shift',
    'build_norm',
    'cycle_shift',
    'resampled',
    'spatial_shift',
]
