"""Backbones and classifiers by name."""

import fnmatch
from typing import TYPE_CHECKING, Any

from torch import nn

from mmvmlp.backbones.base import VisionMLP, registered_families

if TYPE_CHECKING:
    from mmpretrain.models import ImageClassifier


def _variants() -> dict[str, tuple[type[VisionMLP], str]]:
    return {
        f'{family.name_prefix}_{variant}': (family, variant)
        for family in registered_families()
        for variant in family.variants
    }


def list_backbones(pattern: str = '*') -> list[str]:
    """List the names that :func:`build_backbone` knows.

    Args:
        pattern: A shell pattern that names must match, such as ``'hire*'``.
    """
    return fnmatch.filter(_variants(), pattern)


def _resolve(name: str) -> tuple[type[VisionMLP], str]:
    variants = _variants()
    if name not in variants:
        raise ValueError(f'name={name!r} is no backbone; known are {", ".join(variants)}')
    return variants[name]


def build_backbone(name: str, **kwargs: Any) -> VisionMLP:
    """Build a backbone from its name; needs torch and mmengine, no toolbox.

    Args:
        name: One of :func:`list_backbones`.
        **kwargs: The backbone's arguments beyond ``arch``. With an ``init_cfg`` the weights are
            initialised at once.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If the name or an argument's value is not accepted.
    """
    family, variant = _resolve(name)
    backbone = family(arch=variant, **kwargs)
    if backbone.init_cfg:
        backbone.init_weights()
    return backbone


def build_classifier(name: str, num_classes: int = 1000, **kwargs: Any) -> 'ImageClassifier':
    """Build the published classifier around a backbone: final norm, global mean, linear layer.

    S²-MLP alone has no final norm.

    Args:
        name: One of :func:`list_backbones`.
        num_classes: Outputs of the linear layer.
        **kwargs: The backbone's arguments beyond ``arch``, ``out_indices`` and ``out_norm``.

    Returns:
        An mmpretrain classifier; called on images (N, in_channels, H, W) it gives logits
        (N, num_classes).

    Raises:
        ImportError: If mmpretrain is not installed.
        TypeError: If an argument is unknown.
        ValueError: If the name or an argument's value is not accepted.
    """
    from mmpretrain.models import ImageClassifier

    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f'num_classes={num_classes!r}: a positive integer is accepted')
    has_final_norm = _resolve(name)[0].has_final_norm
    backbone = build_backbone(name, out_indices=(-1,), out_norm=has_final_norm, **kwargs)
    # Full names: the default scope may be another toolbox's, which has namesakes.
    classifier = ImageClassifier(
        backbone=backbone,
        data_preprocessor={'type': 'mmpretrain.ClsDataPreprocessor'},
        neck={'type': 'mmpretrain.GlobalAveragePooling'},
        head={
            'type': 'mmpretrain.LinearClsHead',
            'num_classes': num_classes,
            'in_channels': backbone.feature_info[-1].channels,
            'loss': {'type': 'mmpretrain.CrossEntropyLoss'},
        },
    )
    nn.init.trunc_normal_(classifier.head.fc.weight, std=0.02)
    nn.init.zeros_(classifier.head.fc.bias)
    return classifier
