"""Time networks, whole models and training steps in turns, and compare their speed and memory."""

import sys

from mmvmlp.cli.benchmark import main

if __name__ == '__main__':
    sys.exit(main())
