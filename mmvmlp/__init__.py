"""Vision-MLP backbones for OpenMMLab: multi-scale feature pyramids at any image size."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from mmvmlp.backbones import *  # noqa: F403
    from mmvmlp.build import build_backbone as build_backbone
    from mmvmlp.build import build_classifier as build_classifier
    from mmvmlp.build import list_backbones as list_backbones
    from mmvmlp.checkpoints import CheckpointError as CheckpointError
    from mmvmlp.checkpoints import CheckpointReport as CheckpointReport
    from mmvmlp.checkpoints import find_weights as find_weights
    from mmvmlp.checkpoints import list_weights as list_weights
    from mmvmlp.checkpoints import load_checkpoint as load_checkpoint
    from mmvmlp.deploy.fuse import fuse as fuse
    from mmvmlp.hub import from_pretrained as from_pretrained
    from mmvmlp.hub import push_to_hub as push_to_hub
    from mmvmlp.necks import SimplePyramid as SimplePyramid

__version__ = '0.1.0'

_MODULES = {
    'mmvmlp.build': ('build_backbone', 'build_classifier', 'list_backbones'),
    'mmvmlp.checkpoints': (
        'CheckpointError',
        'CheckpointReport',
        'find_weights',
        'list_weights',
        'load_checkpoint',
    ),
    'mmvmlp.deploy.fuse': ('fuse',),
    'mmvmlp.hub': ('from_pretrained', 'push_to_hub'),
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
    # The backbones list their own names, all of them classes; another name, such as that of a
    # submodule, imports nothing.
    if name == '__all__' or name[:1].isupper():
        backbones = import_module('mmvmlp.backbones')
        if name == '__all__':
            return ['__version__', *backbones.__all__, *sum(_MODULES.values(), ())]
        if name in backbones.__all__:
            return getattr(backbones, name)
    raise AttributeError(f"module 'mmvmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__('__all__')})
