"""Facts about an environment: versions, and what happens when its packages are tried."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from mmvmlp.doctor import probes
from mmvmlp.doctor.packages import distributions_of
from mmvmlp.doctor.probes import PROBES, Probe

NVIDIA_DRIVER = Path('/proc/driver/nvidia/version')


@dataclass(frozen=True)
class Facts:
    """Everything the rules look at.

    Attributes:
        python: Version of the running Python.
        distributions: Versions of the installed distributions, by normalised name.
        probes: Result of trying each package, by import name.
        nvidia_driver: Whether an NVIDIA driver is loaded, and its GPUs are not hidden by
            ``CUDA_VISIBLE_DEVICES``.
    """

    python: tuple[int, int, int]
    distributions: Mapping[str, str]
    probes: Mapping[str, Probe]
    nvidia_driver: bool = False

    def probe(self, name: str) -> Probe:
        """Return the result of trying a package; one never tried counts as missing.

        Args:
            name: Import name.
        """
        return self.probes.get(name, Probe(missing=True))

    def installed(self, names: Iterable[str]) -> list[str]:
        """Return those of some distributions that are installed.

        Args:
            names: Normalised distribution names.
        """
        return [name for name in names if name in self.distributions]


def gather() -> Facts:
    """Examine this Python and every package that a training run loads."""
    distributions = installed_distributions()
    results = probe_all()
    for name, probe in results.items():
        if probe.error:
            there = [each for each in distributions_of(name) if each in distributions]
            version = distributions[there[0]] if there else None
            results[name] = replace(probe, version=version)
    return Facts(
        python=sys.version_info[:3],
        distributions=distributions,
        probes=results,
        nvidia_driver=NVIDIA_DRIVER.exists()
        and os.environ.get('CUDA_VISIBLE_DEVICES') not in ('', '-1'),
    )


def installed_distributions() -> dict[str, str]:
    """Return the versions of the installed distributions, by normalised name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:
            found.setdefault(re.sub(r'[-_.]+', '-', name).lower(), distribution.version)
    return found


def probe_all(names: Sequence[str] = tuple(PROBES), timeout: float = 300) -> dict[str, Probe]:
    """Try packages in a child process, and the rest in another one after a crash.

    Args:
        names: Import names.
        timeout: Seconds that a child may take.

    Returns:
        The results, by import name.
    """
    results: dict[str, Probe] = {}
    while remaining := [name for name in names if name not in results]:
        command = [sys.executable, probes.__file__, json.dumps(sys.path), *remaining]
        try:
            child = subprocess.run(command, capture_output=True, timeout=timeout)
            output, messages, code = child.stdout, child.stderr, child.returncode
            ending = f'killed by signal {-code}' if code < 0 else f'exit status {code}'
        except subprocess.TimeoutExpired as late:
            output, messages = late.stdout or b'', late.stderr or b''
            ending = f'did not finish within {timeout:g} s'
        for line in output.splitlines():
            name, probe = json.loads(line)
            results[name] = Probe(**probe)
        crashed = next((name for name in remaining if name not in results), None)
        if crashed is not None:
            last = messages.decode(errors='replace').strip().splitlines()[-1:]
            results[crashed] = Probe(error=': '.join([ending, *last]))
    return results
