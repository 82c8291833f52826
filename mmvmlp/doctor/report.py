"""The doctor's report: a table of the facts, the findings with their fixes, and the verdict."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.probes import PROBES
from mmvmlp.doctor.rules.finding import Finding

_WORKS = {
    'torchvision': 'operators run',
    'cv2': 'reads and writes images',
    'pycocotools': 'runs',
    'safetensors': 'reads and writes arrays',
    'wrapt': 'runs',
    'mmcv': 'operators run',
    'mmdet': 'loads with all its models',
    'mmseg': 'loads with all its models',
    'mmpretrain': 'loads with all its models',
}


def report(facts: Facts, findings: Sequence[Finding]) -> str:
    """Word facts and findings for the user.

    Args:
        facts: What is installed, and the results of trying it.
        findings: Those of `mmvmlp.doctor.rules.diagnose`.

    Returns:
        A line per package, two per finding, and the verdict.
    """
    rows = [('Python', '.'.join(map(str, facts.python)), sys.executable)]
    rows.append(('mmvmlp', facts.distributions.get('mmvmlp', 'not installed'), ''))
    rows += [(name, facts.probe(name).version or '-', _state(facts, name)) for name in PROBES]
    width = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f'{a:<{width[0]}}  {b:<{width[1]}}  {c}'.rstrip() for a, b, c in rows]
    for finding in findings:
        kind = 'problem' if finding.blocks else 'warning'
        lines += ['', f'{kind}: {finding.problem}', f'    fix: {finding.fix}']
    problems = sum(finding.blocks for finding in findings)
    if problems:
        verdict = f'Training cannot work: {problems} problem{"s" if problems > 1 else ""}.'
    else:
        verdict = f'Ready to train on {"the GPU" if _gpus(facts) else "the CPU"}.'
    return '\n'.join([*lines, '', verdict])


def _state(facts: Facts, name: str) -> str:
    probe = facts.probe(name)
    if probe.missing:
        return 'missing'
    if probe.error:
        return 'does not work, see below'
    if name == 'torch':
        cuda = probe.details.get('cuda')
        built = f'built for CUDA {cuda}' if cuda else 'built for the CPU'
        return f'runs; {built}; GPU: {", ".join(_gpus(facts)) or "none seen"}'
    if name == 'mmcv' and _gpus(facts) and not probe.details.get('gpu_error'):
        return 'operators run, on the GPU too'
    return _WORKS.get(name, 'loads')


def _gpus(facts: Facts) -> list[str]:
    return facts.probe('torch').details.get('gpus') or []
