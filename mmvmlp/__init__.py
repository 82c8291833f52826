"""Vision-MLP backbones for OpenMMLab: multi-scale feature pyramids at any image size."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmvmlp.backbones import (
        S2MLP,
        FeatureInfo,
        HireMLP,
        MLPMixer,
        ResMLP,
        SMLPNet,
        VisionMLP,
    )
    from mmvmlp.build import build_backbone, build_classifier, list_backbones
    from mmvmlp.checkpoints import CheckpointError, CheckpointReport, load_checkpoint
    from mmvmlp.necks import SimplePyramid

__version__ = '0.1.0'

__all__ = [
    'CheckpointError',
    'CheckpointReport',
    'FeatureInfo',
    'HireMLP',
    'MLPMixer',
    'ResMLP',
    'S2MLP',
    'SMLPNet',
    'SimplePyramid',
    'VisionMLP',
    '__version__',
    'build_backbone',
    'build_classifier',
    'list_backbones',
    'load_checkpoint',
]

_MODULES = {
    'mmvmlp.backbones': (
        'FeatureInfo',
        'HireMLP',
        'MLPMixer',
        'ResMLP',
        'S2MLP',
        'SMLPNet',
        'VisionMLP',
    ),
    'mmvmlp.build': ('build_backbone', 'build_classifier', 'list_backbones'),
    'mmvmlp.checkpoints': ('CheckpointError', 'CheckpointReport', 'load_checkpoint'),
    'mmvmlp.necks': ('SimplePyramid',),
}


# Not a dependency of the check and of the data, which run before the rest is installed.
if find_spec('wrapt') is not None:
    import_module('mmvmlp.openmmlab').extend_toolboxes()


def __getattr__(name: str) -> Any:
    # Names are imported when they are used: `python -m mmvmlp.check` must run, and the data be
    # made, where torch or mmengine is missing or broken.
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'mmvmlp' has no attribute {name!r}")
