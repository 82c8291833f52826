"""Count every model of the model index, into the metafiles and docs/model_zoo.md."""

import argparse
from pathlib import Path

from mmvmlp.analysis.model_zoo import write_model_zoo
from mmvmlp.engine.errors import one_clear_error

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write metafiles and page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with one_clear_error():
        write_model_zoo(ROOT, ROOT / 'docs/model_zoo.md')
    print('The tables are in docs/model_zoo.md')


if __name__ == '__main__':
    main()
