"""Predict on images with a trained model."""

import sys

from mmvmlp.cli.predict import main

if __name__ == '__main__':
    sys.exit(main())
