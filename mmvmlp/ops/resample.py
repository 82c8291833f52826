"""Image-size policies: token mixing of a fixed size, on maps of any size.

``resize`` brings the tokens to the native number, mixes, and brings the result back; ``window``
mixes in windows of the native size. Both treat only what is mixed: the residual beside it keeps
its detail. They are ours, except that windows at an integer multiple of the native size are the
block-diagonal growth of MLP-Mixer (arXiv 2105.01601, appendix C).

Maps are (N, H, W, C) here, dimension 1 is H and dimension 2 is W.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch.nn import functional

Resolution = Literal['native', 'resize', 'window']
RESOLUTIONS: tuple[str, ...] = get_args(Resolution)


def product_along(
    x: torch.Tensor, dim: int, matrix: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Multiply every column (dim 1) or every row (dim 2) of a map by a matrix.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        matrix: (tokens that go out, tokens that come in).
        bias: One number for each token that goes out.
    """
    matrix = matrix.to(x.dtype)
    if torch.compiler.is_compiling():
        # The same as a pointwise convolution: reshaping a product would tie a graph to a size. Not
        # compiled, the convolution makes an MLP-Mixer's pass on a large image a fifth slower.
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
    return products + (bias[:, None, None] if dim == 1 else bias[:, None]).to(products.dtype)


def interpolation_matrix(
    size: int, new_size: int, like: torch.Tensor, step: Fraction | None = None
) -> torch.Tensor:
    """Return the matrix of linear interpolation with antialiasing, (new_size, size).

    Its rows sum to one: a constant stays what it is. From a size to itself it is the identity.

    Args:
        size: Tokens that come in.
        new_size: Tokens that go out.
        like: A tensor that says where the matrix is needed; a half-precision one gets float32.
        step: Length of a token that goes out, in tokens that come in; where it is not given, both
            lines of tokens cover the same length.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    tokens = torch.arange(size, device=like.device, dtype=dtype)
    new_tokens = torch.arange(new_size, device=like.device, dtype=dtype)
    one = torch.ones((), device=like.device, dtype=dtype)
    length = one * size / new_size if step is None else one * float(step)
    centres = (new_tokens + 0.5) * length - 0.5
    # Downwards the triangle is widened, so that every token counts and none aliases.
    weights = (1 - (centres[:, None] - tokens).abs() / length.clamp(min=1)).clamp(min=0)
    matrix: torch.Tensor = weights / weights.sum(1, keepdim=True)
    return matrix


def resized(x: torch.Tensor, dim: int, new_size: int) -> torch.Tensor:
    """Interpolate a map along H (dim 1) or along W (dim 2) to another number of tokens."""
    return product_along(x, dim, interpolation_matrix(x.shape[dim], new_size, x))


def resampled(x: torch.Tensor, dim: int, step: Fraction) -> torch.Tensor:
    """Interpolate a map along H (dim 1) or along W (dim 2) to tokens of another length.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        step: Length of a token that goes out, in tokens that come in. The first ones begin at the
            same place; as many go out as cover what comes in.
    """
    size = x.shape[dim]
    new_size = (size * step.denominator + step.numerator - 1) // step.numerator
    return product_along(x, dim, interpolation_matrix(size, new_size, x, step))


def split_into_windows(x: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Cut a map into windows along one dimension and put them into the batch.

    The last window is completed by repeating the last row or column.

    Args:
        x: (N, H, W, C).
        dim: 1 or 2.
        size: Tokens of a window.

    Returns:
        (N * windows, ...) with ``size`` tokens in the dimension.
    """
    length = x.shape[dim]
    windows = (length + size - 1) // size
    taken = torch.arange(windows * size, device=x.device).clamp(max=length - 1)
    shape = (*x.shape[:dim], windows, size, *x.shape[dim + 1 :])
    return x.index_select(dim, taken).reshape(shape).movedim(dim, 1).flatten(0, 1)


def joined_windows(windows: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    """Undo :func:`split_into_windows` for a dimension that had ``length`` tokens."""
    size = windows.shape[dim]
    number = (length + size - 1) // size
    split = windows.reshape(windows.shape[0] // number, number, *windows.shape[1:])
    return split.movedim(1, dim).flatten(dim, dim + 1).narrow(dim, 0, length)


def window_matrix(matrix: torch.Tensor, length: int) -> torch.Tensor:
    """Return the (length, length) matrix that mixes each window of a line by a square matrix.

    It does what :func:`split_into_windows` and a product do, with products of zeros: for graphs
    that must hold for every length.
    """
    size = matrix.shape[0]
    tokens = torch.arange(length, device=matrix.device)
    completed = torch.arange(length + size - 1, device=matrix.device)
    blocks = matrix.index_select(0, tokens % size).index_select(1, completed % size)
    same_window = tokens[:, None] // size == completed // size
    repeated = completed.clamp(max=length - 1)
    return matrix.new_zeros(length, length).index_add(1, repeated, blocks * same_window)


def tokens_of_windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """Put the tokens of each square window into a dimension of their own.

    Windows are completed as :func:`split_into_windows` does it. The tokens are taken by a
    convolution, with products of zeros: for graphs that must hold for every size.

    Args:
        x: (N, C, H, W).
        side: Tokens along a side of a window.

    Returns:
        (N * C, side * side, windows along H, windows along W).
    """
    for dim in (2, 3):
        length = x.shape[dim]
        completed = torch.arange(length + side - 1, device=x.device).clamp(max=length - 1)
        x = x.index_select(dim, completed)
    return functional.conv2d(x.flatten(0, 1).unsqueeze(1), _one_token_each(side, x), stride=side)


def windows_of_tokens(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Undo :func:`tokens_of_windows` for a map (N, C, H, W)."""
    side = math.isqrt(tokens.shape[1])
    joined = functional.conv_transpose2d(tokens, _one_token_each(side, tokens), stride=side)
    for dim in (2, 3):
        # Not `narrow`: its check of the bounds would tie a graph to a size.
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
    """Mix tokens with an operator of a fixed size.

    Args:
        x: (N, H, W, C).
        native: The tokens that ``mix`` takes along 1 (H), 2 (W), or both.
        resolution: 'resize' or 'window' for any size; 'native' where the caller has made sure
            that the size is the native one.
        mix: From a map of native size, of any N, to the same shape.

    Returns:
        The mixed map, in the shape of ``x``.
    """
    sizes = {dim: x.shape[dim] for dim in native}
    # A compiled graph must hold for every size; both policies are exact at the native one.
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
