"""Arguments that several commands share."""

import argparse
from typing import Any

from mmengine.config import DictAction

from mmvmlp.config.launcher import LAUNCHERS


class ConfigOptions(DictAction):
    """Reads ``KEY=VALUE``, and refuses anything else as argparse refuses a wrong argument."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *given: Any
    ) -> None:
        without_value = [option for option in given[0] if '=' not in option]
        if without_value:
            raise argparse.ArgumentError(self, f'{without_value[0]!r}: KEY=VALUE is accepted')
        try:
            super().__call__(parser, namespace, *given)
        except AssertionError as error:
            # Brackets without their counterpart.
            raise argparse.ArgumentError(self, str(error)) from error


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add what changes a config: ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings of the config to override; lists as key="[a,b]", without spaces',
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what every run of a config on data takes: config, data, work folder, launcher."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='folder for logs and checkpoints (default: work_dirs/ and the name of the config)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help="folder of the data, instead of the config's data_root"
    )
    parser.add_argument(
        '--launcher',
        choices=tuple(LAUNCHERS),
        default='none',
        help='how several processes were started (default: none)',
    )
    add_config_options(parser)
