"""Look inside a network: receptive fields, mixing weights, phases, feature maps, activations."""

import sys

from mmvmlp.cli.inspect_network import main

if __name__ == '__main__':
    sys.exit(main())
