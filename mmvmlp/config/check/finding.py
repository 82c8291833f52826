"""Findings of the check, and conversion of the toolboxes' errors to findings."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """An error or a warning.

    Attributes:
        blocks: True for an error: training would fail, or learn the wrong thing.
        problem: Name and value of the setting, and the reason why it is wrong.
        fix: A change that fixes it.
    """

    blocks: bool
    problem: str
    fix: str


@contextmanager
def error_as_finding(findings: list[Finding], problem: str, fix: str) -> Iterator[None]:
    """Convert exceptions to a blocking finding, and suppress printed output.

    ``ModuleNotFoundError`` is left to the caller: every part that needs the package would report
    it again.

    Args:
        findings: Extended by the finding.
        problem: The part that fails; the error is appended.
        fix: A change that fixes it.
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
