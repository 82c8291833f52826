"""Try random inputs of every kind, and count what becomes of them, for docs/robustness.md.

Run as ``python -m development.fuzz``; it takes four minutes on two cores, and writes
docs/fuzzing.json and its table.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from development.fuzz.targets import COUNTS
from development.fuzz.trials import Outcomes, Target, try_inputs
from development.generated_document import markdown_table, write_record
from mmvmlp.cli.errors import one_clear_error

ROOT = Path(__file__).resolve().parents[2]
RECORD = 'docs/fuzzing.json'
DOCUMENT = 'docs/robustness.md'
SECTION = 'random inputs'
COMMAND = 'python -m development.fuzz'
COUNTED = ('tried', 'accepted', 'refused', 'unexpected')


def measure(kind: type[Target], count: int, number: int) -> Outcomes:
    """Try one kind of inputs, in a process of its own."""
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory() as folder:
        return try_inputs(kind(Path(folder)), count, number)


def fuzzing_section(record: dict[str, Any]) -> str:
    """Return a table of the outcomes."""
    headings = ['inputs', 'tried', 'accepted', 'refused with one error', 'anything else']
    rows = [[str(value) for value in outcome.values()] for outcome in record['outcomes']]
    totals = [sum(outcome[name] for outcome in record['outcomes']) for name in COUNTED]
    return markdown_table(headings, [*rows, ['together', *map(str, totals)]])


def main() -> int:
    """Try the inputs, and write the record and the table; return 1 if one is unexpected."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--inputs', type=int, metavar='N', help='inputs of each kind')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='seed (default: 0)')
    parser.add_argument('--dry-run', action='store_true', help='print the table only')
    arguments = parser.parse_args()
    with (
        one_clear_error('development'),
        ProcessPoolExecutor(2, multiprocessing.get_context('spawn')) as pool,
    ):
        waiting = {
            kind.name: pool.submit(measure, kind, arguments.inputs or count, arguments.seed)
            for kind, count in COUNTS.items()
        }
        results = {name: each.result() for name, each in waiting.items()}
    rows = []
    for name, each in results.items():
        counts = (each.accepted, each.refused, len(each.unexpected))
        values = dict(zip(COUNTED, (sum(counts), *counts), strict=True))
        rows.append({'inputs': name, **values})
        for described in each.unexpected:
            print(f'{name}: {described}', file=sys.stderr)
    record = {'command': COMMAND, 'outcomes': rows}
    print(fuzzing_section(record))
    if not arguments.dry_run:
        write_record(ROOT, record, RECORD, DOCUMENT, {SECTION: fuzzing_section(record)})
    return int(any(row['unexpected'] for row in rows))
