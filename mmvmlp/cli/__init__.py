"""Commands: ``mmvmlp NAME`` and ``tools/NAME.py`` run the module ``NAME`` of this package.

Modules are imported only when their command runs, so that ``mmvmlp doctor`` works where torch is
missing or broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    'train': 'train any config of mmdet, mmsegmentation or mmpretrain',
    'test': 'evaluate a checkpoint on the test data of its config',
    'predict': 'predict on images with a trained model',
    'app': 'show a trained model in the browser',
    'report': 'report on trainings as one HTML file',
    'check-config': 'find problems of a training run before it starts',
    'doctor': 'report installed versions and print a fix for each problem',
    'demo': 'train, evaluate and draw a detector on generated scenes',
    'make-digits': 'generate the digit scenes, a small data set in the layout of your own data',
    'convert': 'convert a checkpoint between published formats and ours',
    'verify': "verify a checkpoint's hash, contents and coverage of a config",
    'publish': 'write a trained model as a folder for the Hugging Face Hub',
    'export': 'export a trained model to ONNX, OpenVINO, or a torch.export program',
    'inspect-network': 'draw receptive fields, mixing weights and feature maps of a network',
    'complexity': "print the parameters and MACs of a config's model",
    'benchmark': 'time networks, whole models and training steps beside others',
    'measure-memory': "measure the peak memory of backbones' forward passes",
}
"""Summaries by command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Name and arguments of the command; by default those of the process.

    Returns:
        Exit status of the command.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog='mmvmlp',
        description='Vision-MLP backbones for OpenMMLab.',
        epilog='commands:\n'
        + ''.join(f'  {name:<{width}}  {summary}\n' for name, summary in COMMANDS.items())
        + '\n`mmvmlp COMMAND --help` lists the arguments of a command.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', metavar='COMMAND', choices=COMMANDS, help='see below')
    command = parser.parse_args(given[:1]).command
    module = import_module(f'mmvmlp.cli.{command.replace("-", "_")}')
    # The command's parser reads its name and arguments from here.
    sys.argv = [f'mmvmlp {command}', *given[1:]]
    status: int = module.main()
    return status
