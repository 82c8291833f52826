"""Mixed precision in backbone and neck only."""

from types import MethodType
from typing import Any, cast

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class AutocastHook(Hook):
    """Runs backbone and neck in lower precision, and the heads in float32.

    RoIAlign and NMS do not support bfloat16, so a whole detector cannot run in it.

    Args:
        dtype: ``'bfloat16'`` or ``'float16'``.

    Raises:
        ValueError: If ``dtype`` is not accepted.
    """

    def __init__(self, dtype: str = 'bfloat16') -> None:
        if dtype not in ('bfloat16', 'float16'):
            raise ValueError(f"dtype={dtype!r}: 'bfloat16' and 'float16' are accepted")
        self.dtype: torch.dtype = getattr(torch, dtype)

    def before_run(self, runner: Any) -> None:
        """Wrap the forward methods of backbone and neck."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        autocast_backbone_and_neck(model, self.dtype)


def autocast_backbone_and_neck(model: nn.Module, dtype: torch.dtype) -> None:
    """Wrap the forward methods of a model's backbone and neck, whose maps are float32 again.

    Args:
        model: A classifier, detector or segmentor of the toolboxes; changed in place.
        dtype: Lower precision.
    """
    backbone, neck = cast(nn.Module, model.backbone), getattr(model, 'neck', None)
    # A neck may have no parameters, so ask the model.
    device = next(model.parameters()).device.type
    _autocast(backbone, device, dtype, to_float32=neck is None)
    if neck is not None:
        _autocast(neck, device, dtype, to_float32=True)


def _autocast(module: nn.Module, device: str, dtype: torch.dtype, to_float32: bool) -> None:
    def autocast_forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, dtype):
            maps = type(self).forward(self, *args, **kwargs)
        return tuple(level.float() for level in maps) if to_float32 else maps

    # A method, which copies of the module bind to themselves.
    module.forward = MethodType(autocast_forward, module)
