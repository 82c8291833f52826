"""Train, evaluate and draw a detector on generated scenes."""

import sys

from mmvmlp.cli.demo import main

if __name__ == '__main__':
    sys.exit(main())
