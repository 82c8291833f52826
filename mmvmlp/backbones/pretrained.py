"""Strict loading of checkpoints in ``init_cfg``."""

from collections.abc import Mapping
from typing import Any

from mmengine.model import PretrainedInit


def is_pretrained(init_cfg: Mapping[str, Any]) -> bool:
    """Return True if an initialiser is mmengine's ``Pretrained``, under any name."""
    kind = init_cfg.get('type')
    return kind is PretrainedInit or (
        isinstance(kind, str) and kind.rpartition('.')[2] == 'Pretrained'
    )


def strict_init_cfg(init_cfg: Any) -> Any:
    """Replace ``Pretrained``, which loads partially, by our strict initialiser.

    Raises:
        ValueError: If it is not the settings of an initialiser, or a list of them.
    """
    if isinstance(init_cfg, list):
        return [strict_init_cfg(entry) for entry in init_cfg]
    if init_cfg is None:
        return None
    if not isinstance(init_cfg, Mapping) or 'type' not in init_cfg:
        raise ValueError(
            f'init_cfg={init_cfg!r}: a dict with a type, or a list of them is accepted'
        )
    if is_pretrained(init_cfg):
        return {'type': 'mmvmlp.OfficialPretrained', 'checkpoint': init_cfg['checkpoint']}
    return init_cfg
