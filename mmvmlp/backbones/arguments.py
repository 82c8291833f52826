"""Validation of arguments, with errors that name them."""

import math
import numbers
import operator


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
        ValueError: If it is not a positive integer.
    """
    integer = as_integer(value)
    if integer is None or integer < 1:
        raise ValueError(f'{name}={value!r}: a positive integer is accepted')
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
