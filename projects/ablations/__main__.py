"""Train the papers' ablations on the digits; write the tables of docs/ablations.md.

Run as ``python -m projects.ablations``.
"""

import argparse
from pathlib import Path

from mmvmlp.cli.errors import one_clear_error
from projects.ablations.published import ABLATIONS
from projects.ablations.report import write_report
from projects.ablations.training import TrainingOptions, train_ablations

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').splitlines()[0],
        epilog=f'Sets: {", ".join(ABLATIONS)}.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'sets', nargs='*', default=list(ABLATIONS), metavar='SET', help='ablations; all if none'
    )
    defaults = TrainingOptions()
    for option, number, text in (
        ('--seeds', 3, 'trainings of each network, with seeds from 0'),
        ('--jobs', 2, 'trainings side by side'),
        ('--steps', defaults.steps, 'steps of each training'),
        ('--train', defaults.train, 'training images'),
        ('--val', defaults.val, 'validation images'),
    ):
        parser.add_argument(option, type=int, default=number, metavar='N', help=text)
    for option, path, metavar, text in (
        ('--data', 'data/digits_ablations', 'DIR', 'folder of the images; generated if missing'),
        ('--records', PROJECT / 'data/ablations.json', 'FILE', 'JSON file to extend'),
        ('--document', ROOT / 'docs/ablations.md', 'FILE', 'document with the tables'),
    ):
        parser.add_argument(option, type=Path, default=path, metavar=metavar, help=text)
    return parser.parse_args()


def main() -> None:
    """Train, test, and write records and tables."""
    arguments = parse_arguments()
    options = TrainingOptions(steps=arguments.steps, train=arguments.train, val=arguments.val)
    with one_clear_error('projects', 'development'):
        train_ablations(
            arguments.sets,
            arguments.records,
            arguments.data,
            seeds=arguments.seeds,
            options=options,
            jobs=arguments.jobs,
        )
        write_report(arguments.records, arguments.document)
    print(f'The records are in {arguments.records}, the tables in {arguments.document}')


if __name__ == '__main__':
    main()
