"""Fields of architectures that name one of some choices."""

from dataclasses import dataclass
from typing import Literal

import pytest

from mmvmlp.backbones.architecture import Architecture


@dataclass(frozen=True)
class PaddedArchitecture(Architecture):
    """Architecture with a choice for the network and one for each of two stages."""

    padding: Literal['circular', 'zero'] = 'circular'
    fusions: tuple[Literal['sum', 'mean'], Literal['sum', 'mean']] = ('sum', 'sum')


def test_choices_are_kept() -> None:
    """A choice is a string, and a sequence of choices becomes a tuple."""
    architecture = PaddedArchitecture('zero', ['sum', 'mean'])  # type: ignore[arg-type]
    assert (architecture.padding, architecture.fusions) == ('zero', ('sum', 'mean'))


@pytest.mark.parametrize('value', ['Zero', None, 0, ['zero']])
def test_other_values_are_refused_with_the_choices(value: object) -> None:
    """The error names the field, the value and the choices."""
    with pytest.raises(ValueError, match=r"padding=.*: 'circular' or 'zero' is accepted"):
        PaddedArchitecture(value)  # type: ignore[arg-type]


def test_values_of_a_sequence_are_refused_with_the_choices() -> None:
    """So does the error for a sequence."""
    with pytest.raises(ValueError, match="of 2 values, each 'sum' or 'mean', is accepted"):
        PaddedArchitecture(fusions=('sum', 'max'))  # type: ignore[arg-type]
