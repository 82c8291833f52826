"""Look inside a network: receptive fields, mixing weights, phases, feature maps, activations.

NETWORK is a backbone (hire_mlp_tiny), with random or published weights; or a config, with the
checkpoint of the trained model.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmvmlp.cli.errors import one_clear_error
from mmvmlp.inference.images import find_images
from mmvmlp.inspection.inspection import JSON_NAME, PARTS, inspect_network
from mmvmlp.inspection.subject import find_subject
from mmvmlp.output_files import check_folder_can_be_written

DEFAULT_PARTS = tuple(part for part in PARTS if part != 'class-activation')


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='class-activation needs a classifier, images, and: pip install "mmvmlp[inspect]"',
    )
    parser.add_argument('network', metavar='NETWORK', help='name of a backbone, or config file')
    parser.add_argument(
        '--checkpoint',
        metavar='FILE',
        help='weights: published ones of a backbone, or those of the whole model of a config',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=[],
        metavar='IMAGE',
        help='image files, folders of images, or "patterns" (default: noise)',
    )
    parser.add_argument(
        '--noise', type=int, default=8, metavar='N', help='images of noise (default: 8)'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size in pixels to which images are resized (default: the native one, or 224 224)',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=tuple(PARTS),
        default=DEFAULT_PARTS,
        metavar='PART',
        help=f'what to do, of {", ".join(PARTS)} (default: all but the last)',
    )
    parser.add_argument(
        '--out-dir', required=True, type=Path, metavar='DIR', help='folder for what is written'
    )
    return parser.parse_args()


def main() -> int:
    """Inspect a network, and print a line for each layer."""
    arguments = parse_arguments()
    with one_clear_error():
        check_folder_can_be_written(arguments.out_dir, '--out-dir')
        subject = find_subject(
            arguments.network,
            arguments.checkpoint,
            find_images(arguments.images),
            None if arguments.shape is None else (arguments.shape[0], arguments.shape[1]),
            arguments.noise,
        )
        contents = inspect_network(
            subject,
            arguments.parts,
            arguments.out_dir,
            {'network': arguments.network, 'checkpoint': arguments.checkpoint},
            report=lambda part: print(f'... {part}', file=sys.stderr, flush=True),
        )
        print(_table(contents))
        print(f'figures and {JSON_NAME} are in {arguments.out_dir}')
    return 0


def _table(contents: dict[str, Any]) -> str:
    """Return a line for each layer: reach, receptive field, and what activations show."""
    lines: dict[str, list[str]] = {}
    headings = ['layer']
    if fields := contents.get('receptive_fields'):
        headings += ['reach', '50 % in', '90 % in']
        for field in fields:
            extent = f'{field["reach_rows"]}x{field["reach_columns"]}'
            squares = [str(field[f'square_of_{share}_percent']) for share in (50, 90)]
            lines[field['title']] = [extent, *squares]
    if activations := contents.get('activations'):
        headings += ['mean', 'deviation', 'dead', 'finding']
        for each in activations:
            numbers = [f'{each["mean"]:.3g}', f'{each["deviation"]:.3g}']
            share = f'{each["dead_share"]:.0%}'
            lines.setdefault(each['title'], []).extend([*numbers, share, each['finding']])
    if not lines:
        return ''
    rows = [headings, *([title, *cells] for title, cells in lines.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = [
        '  '.join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    notes = contents.get('whole_map_statistics') or ()
    if notes:
        texts.append(f'\nNot in the reach, since it spans each map: {", ".join(notes)}.')
    return '\n'.join(text.rstrip() for text in texts) + '\n'
