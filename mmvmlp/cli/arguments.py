"""Arguments shared by several commands."""

import argparse
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction

from mmvmlp.checkpoints import trusted_checkpoints
from mmvmlp.config.launcher import LAUNCHERS


class ConfigOptions(DictAction):
    """Parses ``KEY=VALUE``, and refuses anything else with a usage error."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *given: Any
    ) -> None:
        without_value = [option for option in given[0] if '=' not in option]
        if without_value:
            raise argparse.ArgumentError(self, f'{without_value[0]!r}: KEY=VALUE is accepted')
        try:
            super().__call__(parser, namespace, *given)
        except AssertionError as error:
            # Unbalanced brackets.
            raise argparse.ArgumentError(self, str(error)) from error


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings of the config to override; lists as key="[a,b]", without spaces',
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, by default a GPU if there is one."""
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda, or cuda:N (default: cuda if a GPU is seen)',
    )


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='unpickle a checkpoint file of your own fully, which runs any code in it; by default, '
        'types other than tensors and records are refused',
    )


def trusting(
    arguments: argparse.Namespace, files: Iterable[str | Path]
) -> AbstractContextManager[None]:
    """Return a context in which checkpoint files are trusted if ``--trust-checkpoint`` says so.

    Args:
        arguments: Of the command.
        files: The files that it opens.
    """
    return trusted_checkpoints(files if arguments.trust_checkpoint else ())


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training and testing: config, data, work folder, launcher."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='folder for logs and checkpoints (default: work_dirs/CONFIG_NAME)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help="data folder, in place of the config's data_root"
    )
    parser.add_argument(
        '--launcher',
        choices=tuple(LAUNCHERS),
        default='none',
        help='launcher of the processes (default: none)',
    )
    add_trust_option(parser)
    add_config_options(parser)
