"""Findings, and what tells a cause from its consequences."""

from __future__ import annotations

from dataclasses import dataclass

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import OPENMMLAB
from mmvmlp.doctor.probes import PROBES


@dataclass(frozen=True)
class Finding:
    """A problem and its fix.

    Attributes:
        blocks: Whether training cannot work because of it.
        problem: A sentence that names the package and what is wrong.
        fix: The command to run.
    """

    blocks: bool
    problem: str
    fix: str


def reported_elsewhere(facts: Facts, name: str) -> bool:
    """Tell whether another rule reports a package's failure: that of numpy, or of the cause.

    Args:
        facts: What is installed, and the results of trying it.
        name: Import name of a package that fails.
    """
    return compiled_for_other_numpy(facts.probe(name).error) or is_consequence(facts, name)


def is_consequence(facts: Facts, name: str) -> bool:
    """Tell whether a failure comes from two distributions in one folder, or from an import.

    Args:
        facts: What is installed, and the results of trying it.
        name: Import name of a package that fails.
    """
    if len(facts.installed(OPENMMLAB.get(name, ()))) > 1:
        return True
    error = facts.probe(name).error or ''
    for imported in list(PROBES)[: list(PROBES).index(name)]:
        probe = facts.probe(imported)
        if probe.missing and f"No module named '{imported}'" in error:
            return True
        if probe.error and probe.error.split(' <- ')[-1] in error:
            return True
    return False


def compiled_for_other_numpy(error: str | None) -> bool:
    """Tell whether an error is that of code compiled for another major version of numpy.

    Args:
        error: As in `Probe`.
    """
    signs = (
        'compiled using NumPy 1',
        'numpy.dtype size changed',
        '_ARRAY_API not found',
        'numpy.core.multiarray failed to import',
        'compiled against ABI version',
    )
    return error is not None and any(sign in error for sign in signs)
