"""Export a trained model to ONNX, to OpenVINO, or to a torch.export program.

A classifier and a segmentor give logits, a detector the feature maps of its backbone and neck, for
any batch, height and width; or, with --whole, what it detects in one image of one size. The file is
compared with the model before it is put into place.
"""

import argparse
from pathlib import Path

from mmvmlp.cli.arguments import add_config_options, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.deploy.export import export_checkpoint
from mmvmlp.deploy.whole_export import export_whole_detector
from mmvmlp.inference.images import find_images


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Images are normalised outside of the file; its metadata have the numbers.',
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='checkpoint of a whole trained model')
    parser.add_argument(
        '--out',
        required=True,
        type=Path,
        metavar='FILE',
        help='what to write: FILE.onnx; FILE.xml for OpenVINO, with FILE.bin beside it; FILE.pt2 '
        'for torch.export.load',
    )
    parser.add_argument(
        '--int8',
        nargs='+',
        metavar='IMAGE',
        help='quantise FILE.xml to eight-bit integers, with the ranges of activations on these '
        'images: files, folders, or "patterns"; some hundred are enough',
    )
    parser.add_argument(
        '--fuse',
        action=argparse.BooleanOptionalAction,
        help="export the backbone's inference form (default: yes, but for --int8)",
    )
    parser.add_argument(
        '--whole',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='export a whole detector, from one padded image of this size to boxes, scores, labels '
        'and masks',
    )
    add_trust_option(parser)
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Export."""
    arguments = parse_arguments()
    with one_clear_error(), trusting(arguments, [arguments.checkpoint]):
        config = load_config(arguments.config, arguments.cfg_options)
        if arguments.whole:
            if arguments.int8:
                raise ValueError('--whole with --int8: only the pyramid can be quantised')
            exported = export_whole_detector(
                config,
                arguments.checkpoint,
                arguments.out,
                *arguments.whole,
                fused=arguments.fuse is not False,
            )
        else:
            exported = export_checkpoint(
                config,
                arguments.checkpoint,
                arguments.out,
                fused=arguments.fuse,
                calibration=find_images(arguments.int8) if arguments.int8 else (),
            )
    print(
        f'{exported.file}: {exported.metadata["task"]}, differs from the model by at most '
        f'{exported.difference:.0e} of its largest value'
    )
    return 0
