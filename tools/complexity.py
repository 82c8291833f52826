"""Print the parameters and MACs of a config's model, part by part."""

import sys

from mmvmlp.cli.complexity import main

if __name__ == '__main__':
    sys.exit(main())
