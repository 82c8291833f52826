"""Runs the commands where the script ``mmvmlp`` is not on the path: ``python -m mmvmlp``."""

import sys

from mmvmlp.cli import main

if __name__ == '__main__':
    sys.exit(main())
