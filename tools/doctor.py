"""Report installed versions, and print a fix for each problem."""

import sys

from mmvmlp.cli.doctor import main

if __name__ == '__main__':
    sys.exit(main())
