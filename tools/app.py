"""Show a trained model in the browser."""

import sys

from mmvmlp.cli.app import main

if __name__ == '__main__':
    sys.exit(main())
