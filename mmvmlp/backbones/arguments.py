"""Validation of arguments, with errors that name them."""

import math
import numbers
import operator
from collections.abc import Sequence

LARGEST = 2**20
"""Largest size of anything: beyond it, PyTorch's own errors do not name the argument."""


def as_integer(value: object) -> int | None:
    """Convert an integer of any library to int; return None for bools and other values."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def as_number(value: object) -> float | None:
    """Convert a finite number of any library to float; return None for bools and other values."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return float(value) if math.isfinite(value) else None


def positive_integer(name: str, value: object) -> int:
    """Convert a positive integer to int.

    Args:
        name: Name of the argument.
        value: Its value.

    Raises:
        ValueError: If it is not an integer from 1 to :data:`LARGEST`.
    """
    integer = as_integer(value)
    if integer is None or integer < 1:
        raise ValueError(f'{name}={value!r}: a positive integer is accepted')
    if integer > LARGEST:
        raise ValueError(f'{name}={value!r}: at most {LARGEST} is accepted')
    return integer


def boolean(name: str, value: object) -> bool:
    """Return a boolean argument.

    Args:
        name: Name of the argument.
        value: Its value.

    Raises:
        ValueError: If it is not a bool.
    """
    if not isinstance(value, bool):
        raise ValueError(f'{name}={value!r}: True or False is accepted')
    return value


def distinct_levels(name: str, value: Sequence[int], number: int) -> tuple[int, ...]:
    """Return levels, of which negative ones count from the end, as numbers from 0.

    Args:
        name: Name of the argument, for the error.
        value: What was given.
        number: Number of levels.

    Raises:
        ValueError: If it is not a sequence of distinct levels.
    """
    accepted = (
        f'accepted are distinct stage numbers 0-{number - 1}, or -{number} to -1 counted from the '
        'end'
    )
    if isinstance(value, (str, int)) or not isinstance(value, Sequence):
        raise ValueError(f'{name}={value!r} is not a sequence: {accepted}')
    levels = []
    for index in value:
        level = as_integer(index)
        if level is None or not -number <= level < number:
            raise ValueError(f'{name}={tuple(value)!r}: {accepted}; got {index!r}')
        levels.append(level % number)
    if not levels or len(set(levels)) < len(levels):
        raise ValueError(f'{name}={tuple(value)!r}: {accepted}')
    return tuple(levels)
