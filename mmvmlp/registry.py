"""Registries of the scope ``mmvmlp``: children of mmengine's root registries.

Because they are children with import locations, ``type='mmvmlp.HireMLP'`` resolves from mmdet,
mmsegmentation and mmpretrain alike as soon as this package can be imported.
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
    locations=['mmvmlp.backbones', 'mmvmlp.necks'],
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

# mmcv fills the root registry with norm layers when it is imported; these are ours, so that
# `norm_cfg` means the same where only torch and mmengine are installed.
MODELS.register_module('BN', module=nn.BatchNorm2d)
MODELS.register_module('SyncBN', module=nn.SyncBatchNorm)
