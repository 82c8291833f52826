"""Draw the diagrams of docs/concepts from the layers that they show, and compare the families.

python -m development.diagrams
"""

from __future__ import annotations

import argparse
from pathlib import Path

from development.diagrams import image_sizes, pyramids, token_mixing
from development.diagrams.comparison import comparison
from development.generated_document import with_sections
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
FOLDER = 'docs/images/concepts'
DOCUMENT = 'docs/concepts/token_mixing.md'
SECTION = 'comparison'


def all_diagrams() -> dict[str, bytes]:
    """Return all diagrams, by the name of their file."""
    return {**token_mixing.diagrams(), **image_sizes.diagrams(), **pyramids.diagrams()}


def main() -> None:
    """Write the diagrams and the table."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        text = with_sections(ROOT / DOCUMENT, {SECTION: comparison()})
        for name, contents in all_diagrams().items():
            write_atomically(ROOT / FOLDER / name, contents)
        write_atomically(ROOT / DOCUMENT, text.encode())
    print(f'The diagrams are in {FOLDER}, the table is in {DOCUMENT}')


if __name__ == '__main__':
    main()
