"""Train small detectors for equal time; write a table of docs/families.md.

Run as ``python -m projects.families``, or ``python -m projects.families heads``.
"""

import argparse
from pathlib import Path

from mmengine import fileio

from development.generated_document import markdown_table, with_sections
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import write_atomically
from projects.families.training import (
    Record,
    family_configs,
    head_configs,
    train_detectors,
)

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]
STUDIES = {'families': family_configs, 'heads': head_configs}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'study',
        nargs='?',
        choices=STUDIES,
        default='families',
        help='a detector of each family, or two detectors with the same backbone',
    )
    parser.add_argument(
        '--seconds', type=float, default=180, help='processor time of each training'
    )
    parser.add_argument('--jobs', type=int, default=2, metavar='N', help='trainings side by side')
    for option, path, metavar, text in (
        ('--data', 'data/digits', 'DIR', 'folder of the scenes; generated if missing'),
        ('--work-dir', 'work_dirs/families', 'DIR', 'folder of logs'),
        ('--records', None, 'FILE', 'JSON file of the records; by default that of the study'),
        ('--document', ROOT / 'docs/families.md', 'FILE', 'document with the table'),
    ):
        parser.add_argument(option, type=Path, default=path, metavar=metavar, help=text)
    return parser.parse_args()


def table(records: list[Record]) -> str:
    """Return the table, best box AP first."""
    headings = ['network', 'config', 'parameters', 'seconds', 'steps', 'box AP', 'mask AP']
    rows = [
        [
            record['network'],
            f'`{record["config"]}`',
            f'{record["parameters"]:,}',
            f'{record["seconds"]:g}',
            str(record['steps']),
            f'{100 * record["box_ap"]:.1f}',
            '' if record['mask_ap'] is None else f'{100 * record["mask_ap"]:.1f}',
        ]
        for record in sorted(records, key=lambda record: -record['box_ap'])
    ]
    return markdown_table(headings, rows)


def main() -> None:
    """Train, test, and write records and table."""
    arguments = parse_arguments()
    file = arguments.records or PROJECT / f'data/{arguments.study}.json'
    with one_clear_error('projects', 'development'):
        records = train_detectors(
            ROOT,
            STUDIES[arguments.study](ROOT),
            arguments.data.resolve(),
            arguments.work_dir.resolve(),
            seconds=arguments.seconds,
            jobs=arguments.jobs,
        )
        write_atomically(file, fileio.dump(records, file_format='json').encode())
        text = with_sections(arguments.document, {arguments.study: table(records)})
        write_atomically(arguments.document, text.encode())
    print(f'The records are in {file}, the table in {arguments.document}')


if __name__ == '__main__':
    main()
