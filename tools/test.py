"""Evaluate a checkpoint on the test data of its config."""

import sys

from mmvmlp.cli.test import main

if __name__ == '__main__':
    sys.exit(main())
