"""Compare distillation with plain training on the digits; write the table of docs/distillation.md.

Run as ``python -m projects.distillation``.
"""

import argparse
from pathlib import Path

from mmvmlp.cli.errors import one_clear_error
from projects.distillation.report import write_records, write_report
from projects.distillation.training import TrainingOptions, train_all

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults = TrainingOptions()
    for option, value, metavar, text in (
        ('--teacher-seconds', defaults.teacher_seconds, 'SECONDS', 'processor time of the teacher'),
        ('--student-seconds', defaults.student_seconds, 'SECONDS', 'processor time of a student'),
        ('--train', defaults.train, 'N', 'training images'),
        ('--val', defaults.val, 'N', 'validation images'),
    ):
        parser.add_argument(option, type=type(value), default=value, metavar=metavar, help=text)
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N', help='one run each'
    )
    for option, path, metavar, text in (
        ('--data', 'data/digits_distillation', 'DIR', 'folder of the images; generated if missing'),
        ('--work-dir', 'work_dirs/distillation', 'DIR', 'folder of the teacher'),
        ('--records', PROJECT / 'data/distillation.json', 'FILE', 'JSON file of the records'),
        ('--document', ROOT / 'docs/distillation.md', 'FILE', 'document with the table'),
    ):
        parser.add_argument(option, type=Path, default=path, metavar=metavar, help=text)
    return parser.parse_args()


def main() -> None:
    """Train, test, and write records and table."""
    arguments = parse_arguments()
    options = TrainingOptions(
        teacher_seconds=arguments.teacher_seconds,
        student_seconds=arguments.student_seconds,
        train=arguments.train,
        val=arguments.val,
    )
    with one_clear_error('projects', 'development'):
        records = train_all(
            arguments.data, arguments.work_dir, seeds=arguments.seeds, options=options
        )
        write_records(arguments.records, records)
        write_report(arguments.records, arguments.document)
    print(f'The records are in {arguments.records}, the table in {arguments.document}')


if __name__ == '__main__':
    main()
