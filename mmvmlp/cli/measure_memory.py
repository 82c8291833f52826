"""Measure the peak memory of backbones in a forward pass with one image."""

import argparse

from mmvmlp.analysis.memory import measure_forward_memory
from mmvmlp.build import smallest_backbones
from mmvmlp.cli.errors import one_clear_error


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        'names',
        nargs='*',
        default=smallest_backbones(),
        metavar='NAME',
        help='backbones, the smallest of each family by default; the last column is relative to '
        'the first of them',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[800, 1216],
        metavar=('HEIGHT', 'WIDTH'),
        help='image size in pixels',
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda, or cuda:N')
    return parser.parse_args()


def main() -> int:
    """Print a table of memory."""
    arguments = parse_arguments()
    height, width = arguments.shape
    with one_clear_error():
        measured = measure_forward_memory(arguments.names, height, width, arguments.device)
        print('| backbone | weights (MB) | forward peak (MB) | relative |\n|---|---|---|---|')
        first = 0
        for memory in measured:
            first = first or memory.peak
            weights, peak = (f'{value / 1e6:.0f}' for value in (memory.weights, memory.peak))
            print(f'| `{memory.name}` | {weights} | {peak} | {memory.peak / first:.2f} |')
    return 0
