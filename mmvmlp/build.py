"""Build backbones and classifiers by name."""

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from mmvmlp.backbones.arguments import positive_integer
from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.backbones.names import canonical_name, suggestion

if TYPE_CHECKING:
    from mmpretrain.models import ImageClassifier


def _variants() -> dict[str, tuple[type[VisionMLP], str]]:
    known: dict[str, tuple[type[VisionMLP], str]] = {}
    for family in registered_families():
        for variant in family.variants:
            name = f'{family.name_prefix}_{variant}'
            if name in known:
                raise ValueError(
                    f'{family.__name__}.name_prefix={family.name_prefix!r}: '
                    f'{known[name][0].__name__} already has a backbone {name!r}; another prefix is '
                    'accepted'
                )
            known[name] = family, variant
    return known


def list_backbones(pattern: str = '*') -> list[str]:
    """List the names of all backbones.

    Args:
        pattern: Shell pattern for the names, such as ``'hire*'``.
    """
    return fnmatch.filter(_variants(), pattern)


def smallest_backbones() -> list[str]:
    """List the smallest backbone of each family."""
    return [f'{family.name_prefix}_{family.smallest_variant}' for family in registered_families()]


def resolve_name(name: str) -> str:
    """Return the canonical name of a backbone for any spelling.

    Args:
        name: A name that :func:`build_backbone` accepts.

    Raises:
        ValueError: If the name is unknown.
    """
    known = _variants()
    canonical = canonical_name(name, known) if isinstance(name, str) else None
    if canonical is None:
        raise ValueError(
            f'name={name!r} is not a backbone{suggestion(str(name), known)}; accepted are '
            f'{", ".join(known)}'
        )
    return canonical


def build_backbone(name: str, weights: str | Path | None = None, **kwargs: Any) -> VisionMLP:
    """Build a backbone by name; requires torch and mmengine, but no toolbox.

    Args:
        name: One of :func:`list_backbones`, also as spelled in configs (``'hire_mlp_t'``) or model
            hubs (``'Hire-MLP-T_in1k'``).
        weights: Weights to load strictly with :func:`mmvmlp.load_checkpoint`: one of
            :func:`mmvmlp.list_weights`, a file or a URL.
        **kwargs: Arguments of the backbone except ``arch``. With ``init_cfg``, the weights are
            initialised immediately.

    Raises:
        FileNotFoundError: If the weights do not exist or were never released.
        CheckpointError: If the weights cannot be had or do not fit.
        TypeError: If an argument is unknown.
        ValueError: If the name or an argument is not accepted.
    """
    family, variant = _variants()[resolve_name(name)]
    if 'arch' in kwargs:
        raise TypeError(
            f'name={name!r} has an architecture, so arch={kwargs["arch"]!r} is not accepted; '
            f'{family.__name__}(arch=...) builds another one'
        )
    backbone = family(arch=variant, **kwargs)
    if weights is not None and backbone.init_cfg:
        raise ValueError(f'weights={str(weights)!r} does not go with init_cfg')
    if backbone.init_cfg:
        backbone.init_weights()
    if weights is not None:
        _load(backbone, weights)
    return backbone


def _load(model: nn.Module, weights: str | Path) -> None:
    # Only here: importing it changes how mmengine reads checkpoints in this process.
    from mmvmlp.checkpoints import load_checkpoint

    load_checkpoint(model, weights)


def build_classifier(
    name: str, num_classes: int = 1000, weights: str | Path | None = None, **kwargs: Any
) -> 'ImageClassifier':
    """Build the published classifier around a backbone: final norm, global mean, linear layer.

    A family whose published classifier has no final norm, such as S²-MLP, has none here.

    Args:
        name: A name that :func:`build_backbone` accepts.
        num_classes: Outputs of the linear layer.
        weights: As in :func:`build_backbone`; the published linear layer is loaded if it has as
            many outputs.
        **kwargs: Arguments of the backbone except ``arch``, ``out_indices`` and ``out_norm``.

    Returns:
        An mmpretrain classifier; called on images (N, in_channels, H, W), it returns logits
        (N, num_classes).

    Raises:
        FileNotFoundError: If the weights do not exist or were never released.
        CheckpointError: If the weights cannot be had or do not fit.
        ImportError: If mmpretrain is not installed.
        TypeError: If an argument is unknown.
        ValueError: If the name or an argument is not accepted.
    """
    from mmpretrain.models import ImageClassifier

    num_classes = positive_integer('num_classes', num_classes)
    has_final_norm = _variants()[resolve_name(name)][0].has_final_norm
    backbone = build_backbone(name, out_indices=(-1,), out_norm=has_final_norm, **kwargs)
    # Full names, since other toolboxes register the same names.
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
    if weights is not None:
        _load(classifier, weights)
    return classifier
