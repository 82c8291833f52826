"""Export a trained model to ONNX or to a torch.export program."""

import sys

from mmvmlp.cli.export import main

if __name__ == '__main__':
    sys.exit(main())
