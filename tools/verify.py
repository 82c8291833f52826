"""Verify a checkpoint file."""

import sys

from mmvmlp.cli.verify import main

if __name__ == '__main__':
    sys.exit(main())
