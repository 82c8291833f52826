"""Rules: each yields a finding for every bad combination of packages that it knows.

They see nothing but `Facts`, so that each combination can be tested without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.rules.finding import Finding
from mmvmlp.doctor.rules.libraries import (
    rule_numpy,
    rule_opencv,
    rule_own_dependencies,
    rule_pycocotools,
)
from mmvmlp.doctor.rules.openmmlab import (
    rule_mmcv,
    rule_mmengine,
    rule_original_and_continued,
    rule_toolboxes,
)
from mmvmlp.doctor.rules.pytorch import rule_gpu, rule_torch, rule_torchvision
from mmvmlp.doctor.rules.running_python import rule_python

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    rule_python,
    rule_torch,
    rule_torchvision,
    rule_numpy,
    rule_opencv,
    rule_pycocotools,
    rule_own_dependencies,
    rule_original_and_continued,
    rule_mmengine,
    rule_mmcv,
    rule_toolboxes,
    rule_gpu,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Apply every rule.

    Args:
        facts: What is installed, and the results of trying it.

    Returns:
        The findings, those that block training first.
    """
    findings = [finding for rule in RULES for finding in rule(facts)]
    return sorted(findings, key=lambda finding: not finding.blocks)
