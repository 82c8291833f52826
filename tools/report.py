"""Report on trainings, finished or running."""

import sys

from mmvmlp.cli.report import main

if __name__ == '__main__':
    sys.exit(main())
