"""Checks of arguments: integers are integers, truth values are not, and errors name them."""

import math
import numbers
import operator


def as_integer(value: object) -> int | None:
    """Return an integer of any library as Python's own; none for anything else, or a bool."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def as_number(value: object) -> float | None:
    """Return a finite number of any library as Python's own; none for anything else, or a bool."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return float(value) if math.isfinite(value) else None


def positive_integer(name: str, value: object) -> int:
    """Return an argument that is a positive integer, as Python's own.

    Args:
        name: The argument's name.
        value: What it was given.

    Raises:
        ValueError: If it is something else.
    """
    integer = as_integer(value)
    if integer is None or integer < 1:
        raise ValueError(f'{name}={value!r}: a positive integer is accepted')
    return integer


def boolean(name: str, value: object) -> bool:
    """Return an argument that is True or False.

    Args:
        name: The argument's name.
        value: What it was given.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(value, bool):
        raise ValueError(f'{name}={value!r}: True or False is accepted')
    return value
