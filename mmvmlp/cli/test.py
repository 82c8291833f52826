"""Evaluate a checkpoint on the test data of its config."""

import argparse
from pathlib import Path

from mmengine import fileio

from mmvmlp.checkpoints import checkpoint_file
from mmvmlp.cli.arguments import add_run_options, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import short_log
from mmvmlp.config.launcher import set_launcher
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.required_files import check_data
from mmvmlp.config.settings import (
    build_runner,
    set_drawing,
    set_log,
    set_strict_checkpoints,
    set_test_time_augmentation,
    set_work_dir,
)
from mmvmlp.deploy.runtimes import RUNTIMES
from mmvmlp.deploy.substitution import ExportedModelHook
from mmvmlp.engine import FuseHook
from mmvmlp.output_files import check_file_can_be_written, write_atomically


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument(
        'checkpoint', help='checkpoint of a whole trained model, or the name of a published one'
    )
    parser.add_argument('--out', metavar='FILE', type=Path, help='write the metrics as JSON')
    parser.add_argument(
        '--tta', action='store_true', help="test-time augmentation with the config's tta_pipeline"
    )
    parser.add_argument(
        '--show-dir', metavar='NAME', help='draw predictions into this subfolder of the work folder'
    )
    parser.add_argument(
        '--fuse', action='store_true', help="use the backbone's inference form, which is faster"
    )
    parser.add_argument(
        '--exported',
        type=Path,
        metavar='FILE',
        help='compute with an ONNX or OpenVINO file that `mmvmlp export` made: backbone and '
        'neck of a detector, all of a segmentor or classifier',
    )
    parser.add_argument(
        '--runtime',
        choices=tuple(RUNTIMES),
        default='openvino',
        help='what runs the exported file (default: openvino)',
    )
    parser.add_argument(
        '--precision',
        choices=('fp32', 'bf16'),
        default='fp32',
        help='arithmetic of the exported file (default: fp32)',
    )
    return parser.parse_args()


def main() -> int:
    """Evaluate a checkpoint."""
    arguments = parse_arguments()
    with one_clear_error(), short_log(), trusting(arguments, [arguments.checkpoint]):
        config = load_config(arguments.config, arguments.cfg_options)
        set_work_dir(config, arguments.work_dir)
        set_log(config)
        if arguments.out:
            check_file_can_be_written(arguments.out, '--out')
        checkpoint = checkpoint_file(arguments.checkpoint)
        if arguments.data_root is not None:
            set_data_root(config, arguments.data_root)
        if arguments.show_dir is not None:
            set_drawing(config, arguments.show_dir)
        if arguments.fuse and arguments.tta:
            raise ValueError('--fuse does not go with --tta')
        exported = None
        if arguments.exported is not None:
            if arguments.tta or arguments.fuse or arguments.launcher != 'none':
                raise ValueError('--exported goes with none of --tta, --fuse and --launcher')
            exported = ExportedModelHook(arguments.exported, arguments.runtime, arguments.precision)
        if arguments.tta:
            set_test_time_augmentation(config)
        config.load_from = str(checkpoint)
        config.resume = False
        set_strict_checkpoints(config)
        check_data(config, ('test',))
        set_launcher(config, arguments.launcher)
        runner = build_runner(config)
        if exported is not None:
            runner.register_hook(exported)
        if arguments.fuse:
            runner.register_hook(FuseHook())
        metrics = runner.test()
        if arguments.out and runner.rank == 0:
            # Unlike json, it supports NumPy numbers, as in mmsegmentation's metrics.
            text = fileio.dump(metrics, file_format='json', indent=2) + '\n'
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(arguments.out, text.encode())
    return 0
