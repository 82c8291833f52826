"""Base class of the families' architectures, which validates fields by their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mmvmlp.backbones.arguments import LARGEST, as_integer, as_number


@dataclass(frozen=True)
class Architecture:
    """Architecture of a network of a family.

    Families derive frozen dataclasses with fields of type ``int``, ``float``, ``bool``, ``Literal``
    with strings, or tuples of these. Numbers must be positive and at most
    :data:`~mmvmlp.backbones.arguments.LARGEST`; for integers, a field's metadata can set another
    minimum (``'lowest'``) and a divisor (``'multiple_of'``). Constraints between fields are checked
    in the family's ``__post_init__``.

    Raises:
        ValueError: If the value of a field is not accepted.
    """

    def __post_init__(self) -> None:
        """Validate the fields, and convert sequences to tuples."""
        types = get_type_hints(type(self))
        for field in fields(self):
            given = getattr(self, field.name)
            value = _converted(given, types[field.name], field.metadata)
            if value is None:
                accepted = _accepted(types[field.name], field.metadata)
                raise ValueError(f'arch field {field.name}={given!r}: {accepted} is accepted')
            object.__setattr__(self, field.name, value)


def _converted(value: object, wanted: Any, metadata: Mapping[str, Any]) -> Any:
    """Convert a value to a type, or return None if it is not accepted."""
    if get_origin(wanted) is tuple:
        types = get_args(wanted)
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != len(types):
            return None
        converted = tuple(map(_converted, value, types, [metadata] * len(types)))
        return None if None in converted else converted
    if get_origin(wanted) is Literal:
        return value if isinstance(value, str) and value in get_args(wanted) else None
    if wanted is bool:
        return value if isinstance(value, bool) else None
    if wanted is float:
        number = as_number(value)
        return None if number is None or not 0 < number <= LARGEST else number
    assert wanted is int, f'fields of type {wanted} are not supported'
    integer = as_integer(value)
    if integer is None or not metadata.get('lowest', 1) <= integer <= LARGEST:
        return None
    return None if integer % metadata.get('multiple_of', 1) else integer


def _accepted(wanted: Any, metadata: Mapping[str, Any]) -> str:
    """Describe the accepted values of a field."""
    if get_origin(wanted) is tuple:
        types = get_args(wanted)
        return f'a sequence of {len(types)} values, each {_accepted(types[0], metadata)},'
    if get_origin(wanted) is Literal:
        *others, last = map(repr, get_args(wanted))
        return f'{", ".join(others)} or {last}'
    if wanted is bool:
        return 'True or False'
    if wanted is float:
        return f'a positive number of at most {LARGEST}'
    if 'multiple_of' in metadata:
        return f'a positive multiple of {metadata["multiple_of"]}, at most {LARGEST}'
    return f'an integer from {metadata.get("lowest", 1)} to {LARGEST}'
