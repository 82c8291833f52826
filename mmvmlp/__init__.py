"""Vision-MLP backbones for OpenMMLab: multi-scale feature pyramids at any image size."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from warnings import warn

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


# Where wrapt is missing or broken, the doctor must run, and digit scenes can be made.
if find_spec('wrapt') is not None:
    try:
        _openmmlab = import_module('mmvmlp.openmmlab')
    except Exception as error:
        warn(
            f'mmengine and mmpretrain will not find mmvmlp: wrapt does not load ({error}). '
            '`python -m mmvmlp doctor` prints a fix.',
            RuntimeWarning,
            stacklevel=2,
        )
    else:
        _openmmlab.extend_toolboxes()


def __getattr__(name: str) -> Any:
    # Names are imported when they are used: `mmvmlp doctor` must run, and the data be made, where
    # torch or mmengine is missing or broken.
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'mmvmlp' has no attribute {name!r}")
