"""The backbones, one family a file, and the contract they share."""

from mmvmlp.backbones.base import FeatureInfo, VisionMLP
from mmvmlp.backbones.hire_mlp import HireMLP, HireMLPArchitecture
from mmvmlp.backbones.smlpnet import SMLPNet, SMLPNetArchitecture

__all__ = [
    'FeatureInfo',
    'HireMLP',
    'HireMLPArchitecture',
    'SMLPNet',
    'SMLPNetArchitecture',
    'VisionMLP',
]
