"""Run the commands with ``python -m mmvmlp``."""

import sys

from mmvmlp.cli import main

if __name__ == '__main__':
    sys.exit(main())
