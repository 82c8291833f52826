"""Normalisation layers from a ``norm_cfg``."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmvmlp.registry import MODELS


def build_norm(norm_cfg: Mapping[str, Any], channels: int) -> nn.Module:
    """Build a norm layer from its config.

    Args:
        norm_cfg: A type (``'BN'``, ``'SyncBN'``, ``'LN2d'``, ``'GN1'``, ``'Affine'``, or any norm
            that mmcv registers) with its arguments, and optionally ``requires_grad``.
        channels: Number of channels to normalise.

    Raises:
        ValueError: If the type is missing or not registered.
    """
    if not isinstance(norm_cfg, Mapping):
        raise ValueError(f"norm_cfg={norm_cfg!r}: a mapping with a 'type' is accepted")
    options = dict(norm_cfg)
    type_name = options.pop('type', None)
    requires_grad = options.pop('requires_grad', True)
    layer = MODELS.get(type_name) if isinstance(type_name, str) else None
    if layer is None:
        raise ValueError(
            f"norm_cfg={dict(norm_cfg)!r}: 'type' must name a registered norm layer, such as 'BN', "
            "'SyncBN', 'LN2d', 'GN1' or 'Affine' (others, such as 'GN', are registered by "
            'importing mmcv.cnn)'
        )
    if type_name == 'GN':
        options['num_channels'] = channels
        norm: nn.Module = layer(**options)
    else:
        norm = layer(channels, **options)
    for parameter in norm.parameters():
        parameter.requires_grad = requires_grad
    return norm
