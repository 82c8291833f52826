"""Start processes as torchrun does, and report the first error as one message."""

import sys

from mmvmlp.cli.torchrun import main

if __name__ == '__main__':
    sys.exit(main())
