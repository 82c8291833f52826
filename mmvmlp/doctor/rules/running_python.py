"""The rule for the Python that runs."""

from __future__ import annotations

from collections.abc import Iterator

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import NEWEST_PYTHON, OLDEST_PYTHON
from mmvmlp.doctor.rules.finding import Finding


def rule_python(facts: Facts) -> Iterator[Finding]:
    """Find a Python that the stack has no packages for."""
    if not OLDEST_PYTHON <= facts.python[:2] <= NEWEST_PYTHON:
        version = '.'.join(map(str, facts.python))
        yield Finding(
            blocks=True,
            problem=f'Python {version} is not supported; 3.10, 3.11 and 3.12 are.',
            fix='make env PYTHON=python3.12',
        )
