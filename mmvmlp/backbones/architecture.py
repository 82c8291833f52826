"""The base of every family's architecture: its fields are checked by their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin, get_type_hints

from mmvmlp.backbones.arguments import as_integer, as_number


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one network of a family from another.

    A family derives a frozen dataclass whose fields are ``int``, ``float``, ``bool``, or a tuple
    of them. Numbers are positive and finite; a field's metadata can say otherwise of integers:
    ``'lowest'`` is the lowest one accepted, and all must be a multiple of ``'multiple_of'``. What
    depends on several fields is checked in the family's own ``__post_init__``.

    Raises:
        ValueError: If a field has a value that is not accepted.
    """

    def __post_init__(self) -> None:
        """Refuse values no network can be built from, and make every sequence a tuple."""
        types = get_type_hints(type(self))
        for field in fields(self):
            given = getattr(self, field.name)
            value = _converted(given, types[field.name], field.metadata)
            if value is None:
                accepted = _accepted(types[field.name], field.metadata)
                raise ValueError(f'arch field {field.name}={given!r}: {accepted} is accepted')
            object.__setattr__(self, field.name, value)


def _converted(value: object, wanted: Any, metadata: Mapping[str, Any]) -> Any:
    """Return a value as the type that is wanted; none where it is not accepted."""
    if get_origin(wanted) is tuple:
        types = get_args(wanted)
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != len(types):
            return None
        converted = tuple(map(_converted, value, types, [metadata] * len(types)))
        return None if None in converted else converted
    if wanted is bool:
        return value if isinstance(value, bool) else None
    if wanted is float:
        number = as_number(value)
        return None if number is None or number <= 0 else number
    assert wanted is int, f'a field of type {wanted} has no check'
    integer = as_integer(value)
    if integer is None or integer < metadata.get('lowest', 1):
        return None
    return None if integer % metadata.get('multiple_of', 1) else integer


def _accepted(wanted: Any, metadata: Mapping[str, Any]) -> str:
    """Return what a field accepts, in words."""
    if get_origin(wanted) is tuple:
        types = get_args(wanted)
        return f'a sequence of {len(types)} values, each {_accepted(types[0], metadata)},'
    if wanted is bool:
        return 'True or False'
    if wanted is float:
        return 'a positive number'
    if 'multiple_of' in metadata:
        return f'a positive multiple of {metadata["multiple_of"]}'
    return f'an integer of at least {metadata.get("lowest", 1)}'
