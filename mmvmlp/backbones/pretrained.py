"""Initialisers that load a checkpoint."""

from collections.abc import Mapping
from typing import Any

from mmengine.model import PretrainedInit


def is_pretrained(init_cfg: Mapping[str, Any]) -> bool:
    """Tell whether an initialiser is mmengine's ``Pretrained``, under whatever name."""
    kind = init_cfg.get('type')
    return kind is PretrainedInit or (
        isinstance(kind, str) and kind.rpartition('.')[2] == 'Pretrained'
    )


def strict_init_cfg(init_cfg: Any) -> Any:
    """Return initialisers that refuse a checkpoint which mmengine's own would load in part."""
    if isinstance(init_cfg, list):
        return [strict_init_cfg(entry) for entry in init_cfg]
    if init_cfg and is_pretrained(init_cfg):
        return {'type': 'mmvmlp.OfficialPretrained', 'checkpoint': init_cfg['checkpoint']}
    return init_cfg
