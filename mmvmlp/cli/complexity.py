"""Print the parameters and MACs of each part of a config's model; no data is required.

Parameters are all learnable parameters. MACs are the multiply-accumulate operations for predicting
one image, which papers report as FLOPs (GPU data sheets count each as two).
"""

import argparse

from mmvmlp.analysis.complexity import PartComplexity, count_complexity, default_shape
from mmvmlp.cli.arguments import add_config_options
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='image size in pixels (default: as in papers, 224 224 for classifiers, 800 1280 for '
        'detectors, 512 2048 for segmentors)',
    )
    parser.add_argument(
        '--proposals',
        type=int,
        default=1000,
        metavar='N',
        help='regions classified by a RoI head (default: 1000)',
    )
    parser.add_argument(
        '--masks',
        type=int,
        default=100,
        metavar='N',
        help='regions segmented by a RoI head (default: 100)',
    )
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Print a table of parameters and MACs."""
    arguments = parse_arguments()
    with one_clear_error():
        config = load_config(arguments.config, arguments.cfg_options)
        height, width = arguments.shape or default_shape(config)
        parts = count_complexity(
            config, height, width, num_proposals=arguments.proposals, num_masks=arguments.masks
        )
        total = PartComplexity(
            'total', sum(part.parameters for part in parts), sum(part.macs for part in parts)
        )
        print(f'{arguments.config}, one image of {height}x{width} pixels\n')
        print(f'{"part":<20}{"parameters":>14}{"MACs":>14}')
        for part in (*parts, total):
            parameters, macs = f'{part.parameters / 1e6:.3f} M', f'{part.macs / 1e9:.3f} G'
            print(f'{part.name:<20}{parameters:>14}{macs:>14}')
    return 0
