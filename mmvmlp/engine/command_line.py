"""The options that the commands in ``tools/`` share."""

import argparse

from mmengine.config import DictAction


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add what changes a config: ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
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
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how several processes were started (default: none)',
    )
    add_config_options(parser)
