"""Exact inference form of backbones, alone or in detectors, segmentors and classifiers."""

import copy
from typing import TypeVar

import torch
from torch import nn

from mmvmlp.backbones.base import Stage, VisionMLP
from mmvmlp.ops.folding import folded_convolution, split_norm

Model = TypeVar('Model', bound=nn.Module)


@torch.no_grad()
def fuse(model: Model) -> Model:
    """Return a copy of a model with all its backbones in their inference form.

    Norms, LayerScale and residual additions are folded into the linear layers around them, and
    each family's token mixing is rewritten for speed. Outputs are the same but for rounding. On a
    CPU the form is fastest as it is, without ``torch.compile``; it holds rearranged weights for
    that, which double the backbone's memory.

    Args:
        model: A backbone, or a model that contains some, in evaluation mode. A fused one gives an
            equal copy.

    Returns:
        The copy. Its backbones refuse training mode.

    Raises:
        ValueError: If a backbone is in training mode, or has norms that cannot be folded.
        TypeError: If the model contains no backbone.
    """
    backbones = [module for module in model.modules() if isinstance(module, VisionMLP)]
    if not backbones:
        raise TypeError(
            f'model is a {type(model).__name__}: a VisionMLP, or a model that contains one, is '
            'accepted'
        )
    if any(module.training for backbone in backbones for module in backbone.modules()):
        raise ValueError('the model is in training mode: call model.eval() first')
    fused = copy.deepcopy(model)
    for module in fused.modules():
        if isinstance(module, VisionMLP) and not module.is_fused:
            _fuse_backbone(module)
    return fused


def _fuse_backbone(backbone: VisionMLP) -> None:
    for layer in backbone.stem.modules():
        _fold_norm(layer)
    for stage in backbone.stages:
        assert isinstance(stage, Stage)
        _fold_norm(stage.downsample)
        stage.blocks = nn.ModuleList(backbone.fused_blocks(list(stage.blocks)))
    backbone.requires_grad_(False)
    backbone.is_fused = True
    backbone.eval()


def _fold_norm(layer: nn.Module) -> None:
    """Fold the norm after the convolution of a layer of a stem or a downsampling into it."""
    conv, norm = getattr(layer, 'conv', None), getattr(layer, 'norm', None)
    if not isinstance(conv, nn.Conv2d) or norm is None or isinstance(norm, nn.Identity):
        return
    normalisation, _, _ = split_norm(norm)
    if isinstance(normalisation, nn.Identity):
        layer.conv = folded_convolution(conv, norm)
        layer.norm = nn.Identity()
