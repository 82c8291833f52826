"""Convert a checkpoint between published formats and ours."""

import sys

from mmvmlp.cli.convert import main

if __name__ == '__main__':
    sys.exit(main())
