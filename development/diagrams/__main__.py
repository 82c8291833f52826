"""Draw the diagrams of docs/concepts, from the layers that they show.

python -m development.diagrams
"""

from __future__ import annotations

import argparse
from pathlib import Path

from development.diagrams import token_mixing
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
FOLDER = 'docs/images/concepts'


def main() -> None:
    """Write the diagrams."""
    argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0]).parse_args()
    with one_clear_error('development'):
        for name, contents in token_mixing.diagrams().items():
            write_atomically(ROOT / FOLDER / name, contents)
    print(f'The diagrams are in {FOLDER}')


if __name__ == '__main__':
    main()
