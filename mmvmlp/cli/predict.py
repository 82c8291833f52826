"""Predict on images with a trained model: drawings, JSON, COCO's results, Parquet or index maps."""

import argparse
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from mmvmlp.checkpoints import checkpoint_file, read_checkpoint
from mmvmlp.checkpoints.published import sha256_of
from mmvmlp.cli.arguments import add_config_options, add_device_option, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import without_false_warnings
from mmvmlp.config.loading import load_config
from mmvmlp.inference.formats import FORMATS
from mmvmlp.inference.prediction_files import PredictionOptions, Summary, predict_files
from mmvmlp.inference.predictors import check_score_threshold, predictor_of, predictor_type
from mmvmlp.inference.ray_prediction import predict_files_on_ray
from mmvmlp.inference.sources import find_sources
from mmvmlp.inference.tiling import Tiling
from mmvmlp.inference.trained_model import check_device
from mmvmlp.output_files import check_folder_can_be_written


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='A detector gives boxes, masks and scores; a segmentor a map of classes and an '
        'index PNG; a classifier the five best classes. A run that was killed goes on when it is '
        'started again with the same arguments. docs/predicting.md has examples.',
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help='image files, folders of images, "patterns", .txt lists of paths, .parquet tables of '
        'paths or images, or s3://BUCKET/PREFIX',
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
        '--format',
        choices=tuple(FORMATS),
        default='drawings',
        help="drawings and JSON (default), COCO's results, a Parquet table, or a segmentor's index "
        'maps as PNG',
    )
    parser.add_argument(
        '--annotations',
        type=Path,
        metavar='FILE',
        help='COCO annotations with the ids for --format coco (default: images and classes are '
        'counted from 1)',
    )
    parser.add_argument(
        '--score-threshold',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='leave out detections with a lower score, from 0 to 1 (default: 0.3)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='predict on N images of one size together (default: 1)',
    )
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        '--workers',
        type=int,
        default=workers,
        metavar='N',
        help=f'threads that read images, without --ray (default: {workers})',
    )
    parser.add_argument(
        '--shard-size',
        type=int,
        default=1000,
        metavar='N',
        help='write a file for N images at a time (default: 1000)',
    )
    parser.add_argument(
        '--tile',
        type=int,
        metavar='PIXELS',
        help='predict large images in square tiles of this side',
    )
    parser.add_argument(
        '--tile-overlap',
        type=int,
        metavar='PIXELS',
        help='what neighbouring tiles share; at least the largest object (default: a fifth of '
        'the tile)',
    )
    parser.add_argument(
        '--ray',
        metavar='ADDRESS',
        help='predict on a Ray cluster; "local" starts one on this machine',
    )
    parser.add_argument(
        '--ray-actors',
        type=int,
        default=1,
        metavar='N',
        help='processes that predict on it, each on a core or a GPU (default: 1)',
    )
    parser.add_argument(
        '--fuse', action='store_true', help="use the backbone's inference form, which is faster"
    )
    add_device_option(parser)
    add_trust_option(parser)
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Predict."""
    arguments = parse_arguments()
    with one_clear_error(), without_false_warnings(), trusting(arguments, [arguments.checkpoint]):
        summary = _predict(arguments)
    names = [file.name for file in summary.files]
    files = names[0] if len(names) == 1 else f'{names[0]} to {names[-1]}'
    images = f'{summary.predicted} image{"" if summary.predicted == 1 else "s"}'
    drawings = ' and drawings' if arguments.format == 'drawings' else ''
    print(f'predictions on {images} are in {arguments.out_dir}: {files}{drawings}')
    if summary.failed:
        print(f'error: {summary.failed} images could not be predicted', file=sys.stderr)
    return 1 if summary.failed else 0


def _predict(arguments: argparse.Namespace) -> Summary:
    check_folder_can_be_written(arguments.out_dir, '--out-dir')
    references = find_sources(arguments.images)
    options = _options(arguments)
    check_score_threshold(arguments.score_threshold)
    config = load_config(arguments.config, arguments.cfg_options)
    options.check(predictor_type(config).task)
    if not arguments.ray:
        check_device(arguments.device)
    checkpoint = checkpoint_file(arguments.checkpoint)
    contents = read_checkpoint(checkpoint)
    settings: dict[str, Any] = {
        'references': references,
        'out_dir': arguments.out_dir,
        'options': options,
        'about': {
            'config': arguments.config,
            'checkpoint': arguments.checkpoint,
            'score_threshold': arguments.score_threshold,
        },
        'depends_on': {
            'config_sha256': hashlib.sha256(repr(config.to_dict()).encode()).hexdigest(),
            'checkpoint_sha256': sha256_of(Path(checkpoint)),
            'fuse': arguments.fuse,
        },
        'report': partial(print, file=sys.stderr),
    }
    make = partial(
        predictor_of,
        config,
        contents,
        arguments.checkpoint,
        score_threshold=arguments.score_threshold,
        fused=arguments.fuse,
    )
    if arguments.ray:
        return predict_files_on_ray(
            make,
            address=arguments.ray,
            actors=arguments.ray_actors,
            device=arguments.device,
            **settings,
        )
    return predict_files(make(device=arguments.device), **settings)


def _options(arguments: argparse.Namespace) -> PredictionOptions:
    tiling = None
    if arguments.tile is not None:
        overlap = arguments.tile_overlap
        tiling = Tiling(arguments.tile, arguments.tile // 5 if overlap is None else overlap)
    elif arguments.tile_overlap is not None:
        raise ValueError('--tile-overlap is for --tile, which is not given')
    return PredictionOptions(
        format=arguments.format,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        shard_size=arguments.shard_size,
        tiling=tiling,
        annotations=arguments.annotations,
    )
