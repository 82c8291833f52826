"""Operators that compute some of their intermediate results again in the backward pass.

What they would keep for it is memory of the size of several feature maps per block.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

TILE_BYTES = 2**22
"""Hidden features differentiated at a time on a CPU: they stay in a core's cache."""

SMALLEST_TILE = 1024


def keeps_for_backward() -> bool:
    """Return True if operators keep tensors for a backward pass of their own.

    Compilers choose by themselves what to compute again.
    """
    if torch.compiler.is_compiling():
        return False
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return torch.is_grad_enabled() and not traced


def as_autocast(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors in the data type in which autocast, if enabled, multiplies matrices."""
    device = tensors[0].device.type
    if device == 'meta' or not torch.is_autocast_enabled(device):
        return list(tensors)
    dtype = torch.get_autocast_dtype(device)
    return [tensor.to(dtype) for tensor in tensors]


class LinearGELULinear(torch.autograd.Function):
    """Linear layer, GELU, linear layer; keeps the hidden features before the GELU only."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight1: torch.Tensor,
        bias1: torch.Tensor,
        weight2: torch.Tensor,
        bias2: torch.Tensor,
    ) -> torch.Tensor:
        """Compute: (tokens, C) to (tokens, C)."""
        hidden = functional.linear(x, weight1, bias1)
        ctx.save_for_backward(hidden, x, weight1, bias1, weight2, bias2)
        return functional.linear(functional.gelu(hidden), weight2, bias2)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate, some tokens at a time on a CPU."""
        hidden, *inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(
                linear_gelu_linear, inputs, ctx.needs_input_grad, gradient
            )
        x, weight1, _, weight2, _ = inputs
        tile = max(1, len(x))
        # In lower precision, sums over tiles would lose what a product's own sums keep.
        if x.device.type == 'cpu' and x.dtype in (torch.float32, torch.float64):
            tile = max(SMALLEST_TILE, TILE_BYTES // (x.element_size() * len(weight1)))
        x_gradient = torch.empty_like(x)
        weight_gradients = torch.zeros_like(weight1), torch.zeros_like(weight2)
        bias_gradient = weight1.new_zeros(len(weight1))
        for start in range(0, len(x), tile):
            part = slice(start, start + tile)
            upper = gradient[part]
            weight_gradients[1].addmm_(upper.t(), functional.gelu(hidden[part]))
            lower = torch.ops.aten.gelu_backward(upper @ weight2, hidden[part])
            weight_gradients[0].addmm_(lower.t(), x[part])
            bias_gradient += lower.sum(0)
            torch.mm(lower, weight1, out=x_gradient[part])
        return x_gradient, weight_gradients[0], bias_gradient, weight_gradients[1], gradient.sum(0)


def linear_gelu_linear(
    x: torch.Tensor,
    weight1: torch.Tensor,
    bias1: torch.Tensor,
    weight2: torch.Tensor,
    bias2: torch.Tensor,
) -> torch.Tensor:
    """Do as :class:`LinearGELULinear`, with all intermediate results kept."""
    return functional.linear(functional.gelu(functional.linear(x, weight1, bias1)), weight2, bias2)


class GatheredConvolution(torch.autograd.Function):
    """Convolution without overlap of gathered rows or columns, which are not kept."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, dim: int, taken: torch.Tensor
    ) -> torch.Tensor:
        """Gather (N, C, H, W) along a dimension, and convolve with the kernel's stride."""
        ctx.save_for_backward(x, weight, taken)
        ctx.dim = dim
        return gathered_convolution(x, weight, dim, taken)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate; rows and columns are gathered again."""
        x, weight, taken = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _differentiable_gradients(
                lambda x, weight: gathered_convolution(x, weight, ctx.dim, taken),
                (x, weight),
                ctx.needs_input_grad[:2],
                gradient,
            )
            return (*found, None, None)
        kernel = list(weight.shape[2:])
        of_gathered, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient,
            gathered(x, ctx.dim, taken),
            weight,
            None,
            kernel,
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            (*ctx.needs_input_grad[:2], False),
        )
        if of_gathered is None:
            return None, of_weight, None, None
        of_x = x.permute(0, 2, 3, 1).new_zeros(x.permute(0, 2, 3, 1).shape)
        of_x.index_add_(ctx.dim - 1, taken, of_gathered.permute(0, 2, 3, 1))
        return of_x.permute(0, 3, 1, 2), of_weight, None, None


def gathered(x: torch.Tensor, dim: int, taken: torch.Tensor) -> torch.Tensor:
    """Gather rows (dim 2) or columns (dim 3) of a map (N, C, H, W)."""
    # Of a view, for `index_select` of a channels-last map itself would give another layout.
    return x.movedim(1, 3).index_select(dim - 1, taken).movedim(3, 1)


def gathered_convolution(
    x: torch.Tensor, weight: torch.Tensor, dim: int, taken: torch.Tensor
) -> torch.Tensor:
    """Do as :class:`GatheredConvolution`, with what is gathered kept."""
    kernel = tuple(weight.shape[2:])
    return functional.conv2d(gathered(x, dim, taken), weight, stride=kernel)


class WeightedProjection(torch.autograd.Function):
    """:func:`weighted_projection`, whose weighted sum is not kept."""

    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        """Compute the projection."""
        ctx.save_for_backward(*inputs)
        return weighted_projection(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate; the weighted sum is computed again."""
        inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(
                weighted_projection, inputs, ctx.needs_input_grad, gradient
            )
        first, second, third, weights, matrix, _ = inputs
        rows = gradient.flatten(0, 1)
        of_matrix = rows.t() @ _weighted_sum(first, second, third, weights).flatten(0, 1)
        of_sum = gradient @ matrix
        of_weights = torch.stack(
            [(of_sum * each).sum(1, keepdim=True) for each in (first, second, third)]
        )
        of_maps = [of_sum * weight for weight in weights[:2]]
        return *of_maps, of_sum.mul_(weights[2]), of_weights, of_matrix, rows.sum(0)


def _weighted_sum(
    first: torch.Tensor, second: torch.Tensor, third: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    return (first * weights[0]).addcmul(second, weights[1]).addcmul(third, weights[2])


def weighted_projection(
    first: torch.Tensor,
    second: torch.Tensor,
    third: torch.Tensor,
    weights: torch.Tensor,
    matrix: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    """Apply a linear layer to the weighted sum of three maps.

    Args:
        first: (N, tokens, C).
        second: (N, tokens, C).
        third: (N, tokens, C).
        weights: (3, N, 1, C).
        matrix: (out, C).
        bias: (out).

    Returns:
        (N, tokens, out).
    """
    return functional.linear(_weighted_sum(first, second, third, weights), matrix, bias)


def _differentiable_gradients(
    function: Callable[..., torch.Tensor],
    inputs: Sequence[torch.Tensor],
    needed: Sequence[bool],
    gradient: torch.Tensor,
) -> tuple[torch.Tensor | None, ...]:
    """Return gradients that can be differentiated again."""
    wanted = [tensor for tensor, is_needed in zip(inputs, needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(function(*inputs), wanted, gradient, create_graph=True))
    return tuple(next(found) if is_needed else None for is_needed in needed)
