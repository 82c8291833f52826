"""Image-size policies: fixed-size token mixing for feature maps of any size.

``resize`` interpolates the tokens to the native size, mixes them, and interpolates the result back;
``window`` mixes in windows of the native size. Both apply to the mixed branch only, so that the
residual keeps its detail. Both are ours; at integer multiples of the native size, ``window`` equals
the block-diagonal expansion of MLP-Mixer (arXiv 2105.01601, appendix C). RaftMLP has a ``resize``
of its own, which interpolates the map with its residuals (:func:`resized_bicubic`).

Feature maps are (N, H, W, C) here: dimension 1 is H, dimension 2 is W.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch.nn import functional

from mmvmlp.ops.execution import is_traced_for_runtimes, runs_as_written

Resolution = Literal['native', 'resize', 'window']
RESOLUTIONS: tuple[str, ...] = get_args(Resolution)


def product_along(
    x: torch.Tensor, dim: int, matrix: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Multiply each column (dim 1) or row (dim 2) of a feature map by a matrix.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        matrix: (output tokens, input tokens).
        bias: One value per output token.
    """
    matrix = matrix.to(x.dtype)
    if is_traced_for_runtimes():
        # OpenVINO has no convolution with a kernel of dynamic shape, such as an interpolation.
        return functional.linear(x.transpose(dim, 3), matrix, bias).transpose(dim, 3)
    if torch.compiler.is_compiling():
        # A pointwise convolution, since reshaping a product would specialise the graph to a size.
        # Not compiled, it makes an MLP-Mixer's pass on a large image a fifth slower.
        lines = x if dim == 1 else x.transpose(1, 2)
        products = functional.conv2d(lines, matrix[:, :, None, None], bias)
        return products if dim == 1 else products.transpose(1, 2)
    if dim == 2:
        products = torch.matmul(matrix, x)
    else:
        products = torch.matmul(matrix, x.flatten(2)).reshape(
            x.shape[0], matrix.shape[0], *x.shape[2:]
        )
    if bias is None:
        return products
    bias = (bias[:, None, None] if dim == 1 else bias[:, None]).to(products.dtype)
    return products.add_(bias) if runs_as_written(products) else products + bias


def interpolation_matrix(
    size: int, new_size: int, like: torch.Tensor, step: Fraction | None = None
) -> torch.Tensor:
    """Return the matrix (new_size, size) of antialiased linear interpolation.

    Rows sum to one, so constants are preserved. For equal sizes it is the identity.

    Args:
        size: Input tokens.
        new_size: Output tokens.
        like: Tensor with the device and dtype of the matrix, which is at least float32.
        step: Length of an output token in input tokens; by default ``size / new_size``.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    tokens = torch.arange(size, device=like.device, dtype=dtype)
    new_tokens = torch.arange(new_size, device=like.device, dtype=dtype)
    one = torch.ones((), device=like.device, dtype=dtype)
    length = one * size / new_size if step is None else one * float(step)
    centres = (new_tokens + 0.5) * length - 0.5
    # For downsampling, the kernel is widened, so that all tokens contribute without aliasing.
    weights = (1 - (centres[:, None] - tokens).abs() / length.clamp(min=1)).clamp(min=0)
    matrix: torch.Tensor = weights / weights.sum(1, keepdim=True)
    return matrix


def resampling_matrices(
    size: int, new_size: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the interpolations of ``new_size`` tokens to ``size``, and back.

    Their product with a mixing matrix between them mixes ``new_size`` tokens as ``resize`` does.
    """
    return interpolation_matrix(new_size, size, like), interpolation_matrix(size, new_size, like)


def resized(x: torch.Tensor, dim: int, new_size: int) -> torch.Tensor:
    """Interpolate a feature map along H (dim 1) or W (dim 2) to a number of tokens."""
    return product_along(x, dim, interpolation_matrix(x.shape[dim], new_size, x))


def resampled(x: torch.Tensor, dim: int, step: Fraction) -> torch.Tensor:
    """Interpolate a feature map along H (dim 1) or W (dim 2) to tokens of another length.

    Input and output start at the same position; the output covers the whole input.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        step: Length of an output token in input tokens.
    """
    size = x.shape[dim]
    new_size = (size * step.denominator + step.numerator - 1) // step.numerator
    return product_along(x, dim, interpolation_matrix(size, new_size, x, step))


def cubic_interpolation_matrix(size: int, new_size: int, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix (new_size, size) of PyTorch's cubic interpolation, without antialiasing.

    Beyond the border, the outermost tokens are repeated. For equal sizes it is the identity.

    Args:
        size: Input tokens.
        new_size: Output tokens.
        like: Tensor with the device and dtype of the matrix, which is at least float32.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    tokens = torch.arange(-2, size + 2, device=like.device)
    new_tokens = torch.arange(new_size, device=like.device, dtype=dtype)
    length = torch.ones((), device=like.device, dtype=dtype) * size / new_size
    distances = ((new_tokens + 0.5) * length - 0.5)[:, None].sub(tokens).abs()
    # The kernel of Keys (1981) with a = -0.75.
    near = (1.25 * distances - 2.25) * distances**2 + 1
    far = -0.75 * (((distances - 5) * distances + 8) * distances - 4)
    weights = torch.where(distances < 1, near, torch.where(distances < 2, far, 0.0))
    nearest = tokens.clamp(min=0, max=size - 1)
    return weights.new_zeros(new_size, size).index_add(1, nearest, weights)


def resized_bicubic(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate a feature map (N, C, H, W) as PyTorch does in mode 'bicubic'.

    By products, for ONNX Runtime refuses some forms of PyTorch's operator.

    Args:
        x: (N, C, H, W).
        height: New H.
        width: New W.
    """
    if not torch.compiler.is_compiling() and x.shape[2:] == (height, width):
        return x
    x = x.permute(0, 2, 3, 1)
    for dim, size in ((1, height), (2, width)):
        x = product_along(x, dim, cubic_interpolation_matrix(x.shape[dim], size, x))
    return x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def split_into_windows(x: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Split a feature map into windows along one dimension, and move them into the batch.

    The last window is padded by repeating the last row or column.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        size: Tokens per window.

    Returns:
        (N * windows, ...) with ``size`` tokens in ``dim``.
    """
    length = x.shape[dim]
    windows = (length + size - 1) // size
    taken = torch.arange(windows * size, device=x.device).clamp(max=length - 1)
    shape = (*x.shape[:dim], windows, size, *x.shape[dim + 1 :])
    return x.index_select(dim, taken).reshape(shape).movedim(dim, 1).flatten(0, 1)


def joined_windows(windows: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    """Undo :func:`split_into_windows` for a dimension of ``length`` tokens."""
    size = windows.shape[dim]
    number = (length + size - 1) // size
    split = windows.reshape(windows.shape[0] // number, number, *windows.shape[1:])
    return split.movedim(1, dim).flatten(dim, dim + 1).narrow(dim, 0, length)


def window_matrix(matrix: torch.Tensor, length: int) -> torch.Tensor:
    """Return the (length, length) matrix that applies a square matrix to each window.

    It equals :func:`split_into_windows` and a product, at the cost of multiplying zeros, but works
    in compiled graphs of dynamic length.
    """
    size = matrix.shape[0]
    tokens = torch.arange(length, device=matrix.device)
    completed = torch.arange(length + size - 1, device=matrix.device)
    blocks = matrix.index_select(0, tokens % size).index_select(1, completed % size)
    same_window = tokens[:, None] // size == completed // size
    repeated = completed.clamp(max=length - 1)
    return matrix.new_zeros(length, length).index_add(1, repeated, blocks * same_window)


def tokens_of_windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """Move the tokens of each square window into a separate dimension.

    Windows are padded as in :func:`split_into_windows`. A convolution collects the tokens, at the
    cost of multiplying zeros, but works in compiled graphs of dynamic size.

    Args:
        x: (N, C, H, W).
        side: Tokens per side of a window.

    Returns:
        (N * C, side * side, windows along H, windows along W).
    """
    for dim in (2, 3):
        length = x.shape[dim]
        completed = torch.arange(length + side - 1, device=x.device).clamp(max=length - 1)
        x = x.index_select(dim, completed)
    return functional.conv2d(x.flatten(0, 1).unsqueeze(1), _one_token_each(side, x), stride=side)


def windows_of_tokens(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Undo :func:`tokens_of_windows` for a feature map shaped like ``like`` (N, C, H, W)."""
    side = math.isqrt(tokens.shape[1])
    joined = functional.conv_transpose2d(tokens, _one_token_each(side, tokens), stride=side)
    for dim in (2, 3):
        # The bounds check of `narrow` would specialise the graph to a size.
        joined = joined.index_select(dim, torch.arange(like.shape[dim], device=like.device))
    return torch.unflatten(joined.squeeze(1), 0, like.shape[:2])


def _one_token_each(side: int, like: torch.Tensor) -> torch.Tensor:
    return torch.eye(side**2, device=like.device, dtype=like.dtype).reshape(-1, 1, side, side)


def mix_at_native_size(
    x: torch.Tensor,
    native: Mapping[int, int],
    resolution: Resolution,
    mix: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Apply a fixed-size operator to a feature map of any size.

    Args:
        x: (N, H, W, C).
        native: Native number of tokens by dimension: 1 (H), 2 (W), or both.
        resolution: 'resize' or 'window'; or 'native' if ``x`` is known to have the native size.
        mix: Operator on feature maps of native size and any N, which keeps their shape.

    Returns:
        Mixed feature map in the shape of ``x``.
    """
    sizes = {dim: x.shape[dim] for dim in native}
    # Compiled graphs must work for all sizes; both policies are exact at the native size.
    is_native = not torch.compiler.is_compiling() and sizes == dict(native)
    if resolution == 'native' or is_native:
        return mix(x)
    if resolution == 'resize':
        for dim, size in native.items():
            x = resized(x, dim, size)
        x = mix(x)
        for dim, size in sizes.items():
            x = resized(x, dim, size)
        return x
    for dim, size in native.items():
        x = split_into_windows(x, dim, size)
    x = mix(x)
    for dim, size in reversed(sizes.items()):
        x = joined_windows(x, dim, size)
    return x
