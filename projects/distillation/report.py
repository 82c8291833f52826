"""Write the table of the study from its records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from development.generated_document import markdown_table, with_sections
from mmvmlp.output_files import write_atomically
from projects.distillation.training import METHODS, Record
from projects.resolution_study.report import Spread

TITLES = {
    'teacher': 'teacher',
    'plain': 'student, labels only',
    'hard': 'student, hard distillation',
    'soft': 'student, soft distillation',
}


def write_records(file: Path, records: Sequence[Record]) -> None:
    """Write the records of a study as JSON, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ',\n'.join(json.dumps(record) for record in records)
    write_atomically(file, f'[\n{lines}\n]\n'.encode())


def write_report(file: Path, document: Path) -> None:
    """Write the table into the document.

    Args:
        file: Records from :func:`write_records`.
        document: Page with the table between ``<!-- begin distillation -->`` and
            ``<!-- end distillation -->``.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the document lacks the pair of markers.
    """
    records = json.loads(file.read_text(encoding='utf-8'))
    text = with_sections(document, {'distillation': table(records)})
    write_atomically(document, text.encode())


def table(records: Sequence[Record]) -> str:
    """Return the table: a line for the teacher, and one for each method.

    Differences are between students of the same seed, which start from the same weights.
    """
    plain = {r['seed']: r['accuracy'] for r in records if r['method'] == 'plain'}
    rows = []
    for method in ('teacher', *METHODS):
        of_method = [record for record in records if record['method'] == method]
        differences = [100 * (r['accuracy'] - plain[r['seed']]) for r in of_method]
        rows.append(
            [
                TITLES[method],
                f'{of_method[0]["parameters"]:,}',
                str(len(of_method)),
                f'{of_method[0]["seconds"]:g}',
                f'{sum(record["steps"] for record in of_method) / len(of_method):.0f}',
                Spread.of(100 * record['accuracy'] for record in of_method).text(),
                '' if method in ('teacher', 'plain') else Spread.of(differences).text(signed=True),
            ]
        )
    headings = ['network', 'parameters', 'seeds', 'seconds', 'steps', 'accuracy (%)', 'gain']
    return markdown_table(headings, rows)
