"""Train any config of mmdet, mmsegmentation or mmpretrain."""

import sys

from mmvmlp.cli.train import main

if __name__ == '__main__':
    sys.exit(main())
