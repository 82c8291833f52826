"""Publish a trained model: a folder for the Hugging Face Hub."""

import sys

from mmvmlp.cli.publish import main

if __name__ == '__main__':
    sys.exit(main())
