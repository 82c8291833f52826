"""Generate the digit scenes: handwritten digits on photographs, in the layout of your own data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmvmlp.datasets.digit_scenes import make_digit_scenes


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: mmvmlp make-digits data/digits --layout coco',
    )
    parser.add_argument('out_dir', type=Path, metavar='OUT', help='folder to create')
    parser.add_argument(
        '--layout',
        choices=('coco', 'ade', 'imagenet'),
        default='coco',
        help='coco: instances in JSON, like COCO 2017; ade: masks in PNG, like ADE20K; imagenet: '
        'one folder per class, one complete digit per image (default: coco)',
    )
    parser.add_argument(
        '--train', type=int, default=1300, metavar='N', help='training images (default: 1300)'
    )
    parser.add_argument(
        '--val', type=int, default=100, metavar='N', help='validation images (default: 100)'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side, or height and width, in pixels (default: 160; 64 for imagenet)',
    )
    parser.add_argument('--seed', type=int, default=0, help='same seed, same files (default: 0)')
    parser.add_argument(
        '--categories',
        choices=('digits', 'coco80'),
        default='digits',
        help="category names of the coco layout: 0 to 9, or COCO's 80, ten of which stand for the "
        'digits, so that COCO configs run unchanged (default: digits)',
    )
    parser.add_argument(
        '--digits-per-scene',
        type=int,
        nargs=2,
        metavar=('MIN', 'MAX'),
        help='minimum and maximum number of digits in a scene (default: 3 6; 3 5 for imagenet, '
        'where all but one are fragments)',
    )
    parser.add_argument(
        '--digit-height',
        type=float,
        nargs=2,
        metavar=('MIN', 'MAX'),
        help='minimum and maximum height of a digit as fractions of the shorter side (default: '
        '0.25 0.45; 0.5 0.8 for imagenet)',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace existing digit scenes',
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Generate the scenes; return the exit status."""
    arguments = parse_arguments()
    options = vars(arguments)
    for pair in ('size', 'digits_per_scene', 'digit_height'):
        if options[pair] is not None:
            options[pair] = tuple(options[pair])
    try:
        make_digit_scenes(**options)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
