"""Convert a checkpoint between published formats and ours, exactly.

Every tensor is converted, and compared after converting it back. Optimizer state stays behind.
"""

import argparse
from pathlib import Path

from mmvmlp.checkpoints.conversion import convert_checkpoint
from mmvmlp.cli.arguments import add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'source', help='checkpoint to read: a file, or the name of published weights'
    )
    parser.add_argument(
        'out', type=Path, help='checkpoint to write: FILE.pth, FILE.safetensors or FILE.npz'
    )
    parser.add_argument(
        '--network',
        metavar='NAME',
        help='network of the checkpoint (default: recognised by keys and shapes)',
    )
    parser.add_argument(
        '--to',
        default='ours',
        metavar='FORMAT',
        help="ours; official, the authors' format; or a word from the name of one of the formats "
        'of a family, such as timm, google or mmpretrain (default: ours)',
    )
    parser.add_argument(
        '--use-ema', action='store_true', help='convert the moving average of the weights'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file')
    add_trust_option(parser)
    return parser.parse_args()


def main() -> int:
    """Convert."""
    arguments = parse_arguments()
    with one_clear_error(), trusting(arguments, [arguments.source]):
        conversion = convert_checkpoint(
            arguments.source,
            arguments.out,
            network=arguments.network,
            to=arguments.to,
            use_ema=arguments.use_ema,
            overwrite=arguments.overwrite,
        )
    print(
        f'{arguments.out}: {conversion.network}, {len(conversion.tensors)} tensors, from '
        f'{conversion.source} to {conversion.target}'
    )
    return 0
