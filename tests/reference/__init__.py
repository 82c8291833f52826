"""Slow, literal transcriptions of the papers' formulas, for comparison only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def assert_equal_to_literal(
    backbone: nn.Module,
    kind: type[nn.Module],
    literal: Callable[[torch.Tensor, Any], torch.Tensor],
    image: torch.Tensor,
) -> None:
    """Compare a backbone with itself after its modules of a kind were replaced by a literal one."""
    outputs = backbone(image)
    replaced = [module for module in backbone.modules() if isinstance(module, kind)]
    assert replaced
    for module in replaced:
        module.forward = lambda x, module=module: literal(x, module)
    for output, expected in zip(outputs, backbone(image), strict=True):
        torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
