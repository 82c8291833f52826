"""Train any config of mmdet, mmsegmentation or mmpretrain."""

import argparse

from mmengine.config import Config

from mmvmlp.cli.arguments import add_run_options, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import short_log
from mmvmlp.config.launcher import set_launcher
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.required_files import check_checkpoints, check_data, named_checkpoints
from mmvmlp.config.settings import (
    build_runner,
    set_auto_scale_lr,
    set_backbone_checkpoint,
    set_durable_training,
    set_log,
    set_mixed_precision,
    set_resume,
    set_strict_checkpoints,
    set_tensorboard,
    set_work_dir,
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument(
        '--backbone-checkpoint',
        metavar='WEIGHTS',
        help='weights for the backbone, which must fit: a file, a URL, or the name of published '
        'ones, such as hire_mlp_small.in1k',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='FILE',
        help='resume from a checkpoint; without FILE from the newest whole one in the work folder',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='float16',
        choices=('float16', 'bfloat16'),
        help='mixed precision: float16 (requires a GPU) or bfloat16 (backbone and neck only)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the batch size over the config's base_batch_size",
    )
    return parser.parse_args()


def configure(arguments: argparse.Namespace) -> Config:
    """Load the config, apply the arguments, and check that required files exist."""
    config = load_config(arguments.config, arguments.cfg_options)
    set_work_dir(config, arguments.work_dir)
    set_log(config)
    set_tensorboard(config)
    set_durable_training(config)
    if arguments.data_root is not None:
        set_data_root(config, arguments.data_root)
    if arguments.backbone_checkpoint:
        set_backbone_checkpoint(config, arguments.backbone_checkpoint)
    if arguments.amp:
        set_mixed_precision(config, arguments.amp)
    if arguments.auto_scale_lr:
        set_auto_scale_lr(config)
    if arguments.resume:
        set_resume(config, arguments.resume)
    set_strict_checkpoints(config)
    check_checkpoints(config)
    check_data(config, ('train', 'val'))
    set_launcher(config, arguments.launcher)
    return config


def main() -> int:
    """Train a model."""
    arguments = parse_arguments()
    with one_clear_error(), short_log():
        config = configure(arguments)
        with trusting(arguments, named_checkpoints(config.to_dict())):
            build_runner(config).train()
    return 0
