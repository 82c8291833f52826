"""Backbones, one file per family, and their common base classes."""

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.as_mlp import ASMLP, ASMLPArchitecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.backbones.conv_mlp import ConvMLP, ConvMLPArchitecture
from mmvmlp.backbones.cycle_mlp import CycleMLP, CycleMLPArchitecture
from mmvmlp.backbones.hire_mlp import HireMLP, HireMLPArchitecture
from mmvmlp.backbones.mlp_mixer import MLPMixer, MLPMixerArchitecture
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.backbones.raft_mlp import RaftMLP, RaftMLPArchitecture
from mmvmlp.backbones.resmlp import ResMLP, ResMLPArchitecture
from mmvmlp.backbones.s2_mlp import S2MLP, S2MLPArchitecture
from mmvmlp.backbones.s2_mlp_v2 import S2MLPv2, S2MLPv2Architecture
from mmvmlp.backbones.smlpnet import SMLPNet, SMLPNetArchitecture
from mmvmlp.backbones.vip import ViP, ViPArchitecture
from mmvmlp.backbones.wave_mlp import WaveMLP, WaveMLPArchitecture

__all__ = [
    'ASMLP',
    'ASMLPArchitecture',
    'Architecture',
    'CycleMLP',
    'CycleMLPArchitecture',
    'ConvMLP',
    'ConvMLPArchitecture',
    'FeatureInfo',
    'HireMLP',
    'HireMLPArchitecture',
    'MLPMixer',
    'MLPMixerArchitecture',
    'OfficialFormat',
    'PublishedWeights',
    'RaftMLP',
    'RaftMLPArchitecture',
    'ResMLP',
    'ResMLPArchitecture',
    'S2MLP',
    'S2MLPArchitecture',
    'S2MLPv2',
    'S2MLPv2Architecture',
    'SMLPNet',
    'SMLPNetArchitecture',
    'Stage',
    'ViP',
    'ViPArchitecture',
    'VisionMLP',
    'WaveMLP',
    'WaveMLPArchitecture',
]
