"""Registries of the scope ``mmvmlp``, children of mmengine's root registries.

Their import locations let ``type='mmvmlp.HireMLP'`` resolve in mmdet, mmsegmentation and mmpretrain
whenever this package is importable.
"""

from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_WEIGHT_INITIALIZERS
from mmengine.registry import Registry
from torch import nn

MODELS = Registry(
    'model',
    parent=ROOT_MODELS,
    scope='mmvmlp',
    locations=['mmvmlp.backbones', 'mmvmlp.backbones.other_packages', 'mmvmlp.necks'],
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=ROOT_WEIGHT_INITIALIZERS,
    scope='mmvmlp',
    locations=['mmvmlp.checkpoints'],
)
HOOKS = Registry('hook', parent=ROOT_HOOKS, scope='mmvmlp', locations=['mmvmlp.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmvmlp',
    locations=['mmvmlp.engine'],
)
TRANSFORMS = Registry(
    'transform',
    parent=ROOT_TRANSFORMS,
    scope='mmvmlp',
    locations=['mmvmlp.datasets.loading'],
)

# mmcv registers these norms too, but `norm_cfg` must also work without it.
MODELS.register_module('BN', module=nn.BatchNorm2d)
MODELS.register_module('SyncBN', module=nn.SyncBatchNorm)
