"""Find problems of a training run before it starts: check a config against its data and model."""

import argparse

from mmengine.logging import MMLogger

from mmvmlp.cli.arguments import add_config_options
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import without_false_warnings
from mmvmlp.config.check import ConfigCheck
from mmvmlp.config.check.data_sets import FILES_DECODED
from mmvmlp.config.loading import load_config, set_data_root


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--data-root', metavar='DIR', help="data folder, in place of the config's data_root"
    )
    parser.add_argument(
        '--all-images',
        action='store_true',
        help=f'decode all images and masks (default: at most {FILES_DECODED} of a data set)',
    )
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Check a config; return 1 if training would fail."""
    arguments = parse_arguments()
    # The toolboxes log the initialisation of every parameter.
    MMLogger.get_instance('mmengine', log_level='WARNING')
    with one_clear_error(), without_false_warnings():
        config = load_config(arguments.config, arguments.cfg_options)
        if arguments.data_root:
            set_data_root(config, arguments.data_root)
        check = ConfigCheck(config, None if arguments.all_images else FILES_DECODED)
        found = blocked = False
        for finding in check.findings():
            found, blocked = True, blocked or finding.blocks
            print(f'{"error" if finding.blocks else "warning"}: {finding.problem}', flush=True)
            print(f'  fix: {finding.fix}', flush=True)
    if not blocked:
        print(f'No {"errors" if found else "problems"} found: {", ".join(check.examined)}.')
    return int(blocked)
