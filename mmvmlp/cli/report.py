"""Report on trainings, finished or running: one HTML file to read anywhere, without a network.

It has the differences between the configs, the curves, and, where the work folder has a checkpoint
and the validation data are there, results by class, kinds of errors, and images.
"""

import argparse
from pathlib import Path

from mmvmlp.cli.arguments import add_device_option, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import without_false_warnings
from mmvmlp.report.page import write_report


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='work folders of trainings; the newest whole checkpoint of each is evaluated',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='HTML file to write (default: report.html in the work folder; of several trainings, '
        'in the current folder)',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=200,
        metavar='N',
        help='the most validation images to predict, taken evenly; 0 for none (default: 200)',
    )
    parser.add_argument(
        '--data-root', metavar='DIR', help="data folder, in place of the configs' data_root"
    )
    add_device_option(parser)
    add_trust_option(parser)
    return parser.parse_args()


def main() -> int:
    """Write a report."""
    arguments = parse_arguments()
    folders = arguments.work_dirs
    out_file = arguments.out or (folders[0] if len(folders) == 1 else Path()) / 'report.html'
    with one_clear_error(), without_false_warnings():
        checkpoints = (file for folder in folders for file in folder.glob('*.pth'))
        with trusting(arguments, checkpoints):
            evaluated = write_report(
                folders,
                out_file,
                images=arguments.images,
                device=arguments.device,
                data_root=arguments.data_root,
            )
    for folder, about in zip(folders, evaluated, strict=True):
        print(f'{folder}: {about}')
    print(f'{out_file}: the report')
    return 0
