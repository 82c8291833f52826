"""Lists the published weights of every family, in docs/weights.md.

python -m development.weights_table
"""

from __future__ import annotations

import argparse
from pathlib import Path

from development.generated_document import markdown_table, with_sections
from mmvmlp.backbones.base import registered_families
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = 'docs/weights.md'


def weights_tables() -> dict[str, str]:
    """Return Markdown tables by section: of backbones, of models, and of unreleased ones."""
    rows = [weights for family in registered_families() for weights in family.published_weights]
    released = [row for row in rows if row.is_released]
    others = ['trained on', 'licence', 'file']
    return {
        'weights': markdown_table(
            ['name', 'top-1', *others], [_released(row) for row in released if not row.method]
        ),
        'models': markdown_table(
            ['name', 'published', *others], [_released(row) for row in released if row.method]
        ),
        'unreleased': markdown_table(
            ['name', 'top-1', 'why there is no file'],
            [
                [f'`{row.name}`', _accuracy(row), f'{row.reason} ([publisher]({row.page}))']
                for row in rows
                if not row.is_released
            ],
        ),
    }


def _released(row: PublishedWeights) -> list[str]:
    file = f'[{row.file_name}]({row.address or row.page})'
    return [
        f'`{row.name}`',
        ', '.join(f'{metric} {value}' for metric, value in row.metrics) or _accuracy(row),
        row.training_data + (', distilled' if row.distilled else ''),
        row.licence,
        f'{file}: {row.reason}' if row.reason else file,
    ]


def _accuracy(row: PublishedWeights) -> str:
    return '' if row.top1 is None else f'{row.top1:.1f}'


def main() -> None:
    """Write the tables."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        document = ROOT / DOCUMENT
        write_atomically(document, with_sections(document, weights_tables()).encode())
    print(f'The tables are in {DOCUMENT}')


if __name__ == '__main__':
    main()
