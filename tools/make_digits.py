"""Generate the digit scenes, a small data set in the layout of yours."""

import sys

from mmvmlp.cli.make_digits import main

if __name__ == '__main__':
    sys.exit(main())
