"""Backbones and classifiers by name."""

import fnmatch
from typing import TYPE_CHECKING, Any

from torch import nn

from mmvmlp.backbones.arguments import positive_integer
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.backbones.names import canonical_name, suggestion

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


def smallest_backbones() -> list[str]:
    """List the smallest backbone of each family."""
    return [f'{family.name_prefix}_{family.smallest_variant}' for family in registered_families()]


def resolve_name(name: str) -> str:
    """Return the name in :func:`list_backbones` that another spelling stands for.

    Args:
        name: As :func:`build_backbone` takes it.

    Raises:
        ValueError: If it stands for none of them.
    """
    known = _variants()
    canonical = canonical_name(name, known) if isinstance(name, str) else None
    if canonical is None:
        raise ValueError(
            f'name={name!r} is no backbone{suggestion(str(name), known)}; known are '
            f'{", ".join(known)}'
        )
    return canonical


def build_backbone(name: str, **kwargs: Any) -> VisionMLP:
    """Build a backbone from its name; needs torch and mmengine, no toolbox.

    Args:
        name: One of :func:`list_backbones`. Other spellings are understood, too: that of the
            configs (``'hire_mlp_t'``) and that of model hubs (``'Hire-MLP-T_in1k'``).
        **kwargs: The backbone's arguments beyond ``arch``. With an ``init_cfg`` the weights are
            initialised at once.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If the name or an argument's value is not accepted.
    """
    family, variant = _variants()[resolve_name(name)]
    backbone = family(arch=variant, **kwargs)
    if backbone.init_cfg:
        backbone.init_weights()
    return backbone


def build_classifier(name: str, num_classes: int = 1000, **kwargs: Any) -> 'ImageClassifier':
    """Build the published classifier around a backbone: final norm, global mean, linear layer.

    A family whose published classifier has no final norm, such as S²-MLP, has none here.

    Args:
        name: As :func:`build_backbone` takes it.
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

    num_classes = positive_integer('num_classes', num_classes)
    has_final_norm = _variants()[resolve_name(name)][0].has_final_norm
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
