"""Measure the peak memory of backbones' forward passes."""

import sys

from mmvmlp.cli.measure_memory import main

if __name__ == '__main__':
    sys.exit(main())
