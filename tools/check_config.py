"""Find what would go wrong in a training run."""

import sys

from mmvmlp.cli.check_config import main

if __name__ == '__main__':
    sys.exit(main())
