"""The commands: ``mmvmlp NAME`` runs the module of that name in this folder.

``tools/NAME.py`` starts the same module, for those who type OpenMMLab's way. Nothing is imported
before a command is chosen, so that ``mmvmlp doctor`` runs where torch is missing or broken.
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
    'check-config': 'find what would go wrong in a training run',
    'doctor': 'report installed versions and print a fix for each problem',
    'demo': 'train, evaluate and draw a detector on generated scenes',
    'make-digits': 'generate the digit scenes, a small data set in the layout of yours',
    'complexity': "print the parameters and MACs of a config's model",
    'measure-memory': "measure the peak memory of backbones' forward passes",
}
"""Each command with a line that says what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command's name and its arguments; those of the process if None.

    Returns:
        The command's exit status.
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
    parser.add_argument('command', metavar='COMMAND', choices=COMMANDS, help='one of those below')
    command = parser.parse_args(given[:1]).command
    module = import_module(f'mmvmlp.cli.{command.replace("-", "_")}')
    # The parser of the command reads its arguments and its own name from here.
    sys.argv = [f'mmvmlp {command}', *given[1:]]
    status: int = module.main()
    return status
