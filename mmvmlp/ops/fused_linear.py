"""Linear layer with the operation after it, in one pass where PyTorch's oneDNN is used."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.execution import runs_as_written
from mmvmlp.ops.pointwise import Activation, onednn_linear


class FusedLinear(nn.Module):
    """Linear layer on the channels, followed by an activation or an addition; for inference.

    On a CPU, oneDNN computes both in one pass, from weights that are rearranged once.

    Args:
        weight: (out, in).
        bias: (out).
        activation: Operation after the linear layer.
        dtype: Data type of the weights.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dtype: torch.dtype,
        activation: Activation = 'none',
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(weight.to(dtype).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(bias.to(dtype).contiguous(), requires_grad=False)
        self._rearranged: tuple[tuple[int, int, torch.dtype], torch.Tensor, torch.Tensor] | None = (
            None
        )

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """Compute activation(x · weightᵀ + bias) + added: (..., in) to (..., out)."""
        if runs_as_written(x) and torch._C._has_mkldnn:
            if torch.is_autocast_enabled('cpu') and x.dtype == torch.float32:
                x = x.to(torch.get_autocast_dtype('cpu'))
            if x.dtype in (torch.float32, torch.bfloat16):
                return self._in_one_pass(x, added)
        y = functional.linear(x, self.weight, self.bias)
        if self.activation != 'none':
            y = functional.relu(y) if self.activation == 'relu' else functional.gelu(y)
        return y if added is None else added + y

    def _in_one_pass(self, x: torch.Tensor, added: torch.Tensor | None) -> torch.Tensor:
        weight, bias = self._rearranged_weight(x)
        if added is not None and added.dtype == x.dtype and self.activation == 'none':
            product: torch.Tensor = onednn_linear('binary')(x, added, weight, bias, 'add')
            return product
        y: torch.Tensor = onednn_linear('default')(x, weight, bias, self.activation, [], 'none')
        return y if added is None else added + y

    def _rearranged_weight(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        version = 0 if self.weight.is_inference() else self.weight._version
        source = (self.weight.data_ptr(), version, x.dtype)
        if self._rearranged is None or self._rearranged[0] != source:
            tokens = min(x.numel() // max(1, x.shape[-1]), 2048)
            weight = self.weight.detach().to(x.dtype)
            rearranged = torch.ops.mkldnn._reorder_linear_weight(weight, tokens)
            self._rearranged = (source, rearranged, self.bias.detach().to(x.dtype))
        return self._rearranged[1:]

    def _apply(self, function: Callable[..., Any], recurse: bool = True) -> 'FusedLinear':
        self._rearranged = None
        return super()._apply(function, recurse)  # type: ignore[no-any-return,no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        # Rearranged weights can be neither copied nor saved, and are made again.
        return {**self.__dict__, '_rearranged': None}

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        out_channels, in_channels = self.weight.shape
        return f'in={in_channels}, out={out_channels}, activation={self.activation!r}'
