"""Predict on images with a trained model: a drawing of each, and a JSON file for all."""

import argparse
from pathlib import Path

import torch

from mmvmlp.checkpoints import trusted_checkpoints
from mmvmlp.cli.arguments import add_config_options, add_trust_option
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.inference.images import find_images
from mmvmlp.inference.prediction_files import predict_files
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.output_files import check_folder_can_be_written


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='A detector gives boxes, masks and scores; a segmentor a map of classes and an '
        'index PNG; a classifier the five best classes.',
    )
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='image files, folders of images, or "patterns"'
    )
    parser.add_argument('--config', required=True, help='config file of the model')
    parser.add_argument(
        '--checkpoint',
        required=True,
        metavar='FILE',
        help='checkpoint of a whole trained model, or the name of a published one',
    )
    parser.add_argument(
        '--out-dir', required=True, type=Path, metavar='DIR', help='folder for what is written'
    )
    parser.add_argument(
        '--score-threshold',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='leave out detections with a lower score, from 0 to 1 (default: 0.3)',
    )
    parser.add_argument(
        '--fuse', action='store_true', help="use the backbone's inference form, which is faster"
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda, or cuda:N (default: cuda if a GPU is seen)',
    )
    add_trust_option(parser)
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Predict."""
    arguments = parse_arguments()
    trusted = [arguments.checkpoint] if arguments.trust_checkpoint else []
    with one_clear_error(), trusted_checkpoints(trusted):
        check_folder_can_be_written(arguments.out_dir, '--out-dir')
        images = find_images(arguments.images)
        predictor = make_predictor(
            load_config(arguments.config, arguments.cfg_options),
            arguments.checkpoint,
            arguments.device,
            arguments.score_threshold,
            fused=arguments.fuse,
        )
        json_file = predict_files(
            predictor,
            images,
            arguments.out_dir,
            {
                'config': arguments.config,
                'checkpoint': arguments.checkpoint,
                'score_threshold': arguments.score_threshold,
            },
        )
    print(f'{len(images)} drawings and {json_file.name} are in {arguments.out_dir}')
    return 0
