"""Findings of the check, and how errors of the toolboxes become findings."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or deserves a look.

    Attributes:
        blocks: Whether training fails, or learns something else than was meant.
        problem: The setting's name and value, and why it is wrong.
        fix: The change that mends it.
    """

    blocks: bool
    problem: str
    fix: str


@contextmanager
def error_as_finding(findings: list[Finding], problem: str, fix: str) -> Iterator[None]:
    """Turn whatever the toolboxes raise into a blocking finding, and drop what they print.

    A package that is not installed is left to the caller: it would be found again by every part
    that needs it.

    Args:
        findings: Where the finding is added.
        problem: The part that fails; the error is added to it.
        fix: The change that mends it.
    """
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except ModuleNotFoundError:
        raise
    except Exception as error:
        described = f'{type(error).__name__}: {" ".join(str(error).split())[:500]}'
        findings.append(Finding(True, f'{problem}: {described}', fix))


def shown(values: Sequence[Any]) -> str:
    """List the first few values."""
    more = f', ... ({len(values)} in all)' if len(values) > SHOWN else ''
    return ', '.join(str(value) for value in values[:SHOWN]) + more
