"""Report installed versions, test that each package works, and print a fix for any that does not.

Exits with 1 when training cannot work.
"""

from __future__ import annotations

import argparse

from mmvmlp.doctor.facts import gather
from mmvmlp.doctor.report import report
from mmvmlp.doctor.rules import diagnose


def main() -> int:
    """Examine, report, and exit with 1 where training cannot work."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print('Trying every package that training needs (about 10 s) ...', flush=True)
    facts = gather()
    findings = diagnose(facts)
    print(report(facts, findings))
    return int(any(finding.blocks for finding in findings))
