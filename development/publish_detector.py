"""Turns a checkpoint of a detector of digits into the file to publish: weights, and what they are.

python -m development.publish_detector CONFIG CHECKPOINT FILE --data-root DIR
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import mmcv
import mmdet
import mmengine
import safetensors.torch
import torch
from mmengine.config import Config

import mmvmlp
from mmvmlp.checkpoints import CheckpointError, extract_state_dict, read_checkpoint
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.settings import build_runner, set_strict_checkpoints, set_work_dir
from mmvmlp.datasets.digit_scenes.generate import MANIFEST_NAME
from mmvmlp.output_files import check_file_can_be_written, write_atomically

SETTINGS = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')
"""The settings of a config on which trained weights depend."""

PACKAGES = (mmvmlp, torch, mmcv, mmengine, mmdet)

METRICS = ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50')


def publish_detector(config_file: Path, checkpoint: Path, out: Path, data_root: Path) -> None:
    """Write the weights of a checkpoint, without the optimiser's state, as safetensors.

    The file's metadata have what is known of the weights, as text: ``config``, ``command`` and
    ``scenes`` with which they were trained, ``epoch`` and ``seed``, ``dataset_meta`` (class names
    and colours), the metrics on the scenes' val, and ``versions``.

    Args:
        config_file: Config with which the detector was trained.
        checkpoint: Checkpoint of the training.
        out: The file, which ends in ``.safetensors``; its folder must exist.
        data_root: Digit scenes with which the detector was trained.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the checkpoint cannot be read, or was trained with other settings.
        ValueError: If another argument is not accepted.
    """
    if out.suffix != '.safetensors':
        raise ValueError(f'out={str(out)!r}: a name that ends in .safetensors is accepted')
    check_file_can_be_written(out, 'out')
    config = load_config(config_file)
    set_data_root(config, data_root)
    scenes = json.loads((data_root / MANIFEST_NAME).read_text())
    contents = read_checkpoint(checkpoint)
    about = contents.get('meta') or {}
    _check_training(config, about, checkpoint)
    described = {
        'config': config_file.name,
        'command': f'mmvmlp train {config_file} --data-root {data_root}',
        'scenes': json.dumps(scenes),
        'epoch': str(about['epoch']),
        'seed': str(about['seed']),
        'dataset_meta': json.dumps(about['dataset_meta']),
        **_measured(config, checkpoint),
        'versions': json.dumps({package.__name__: package.__version__ for package in PACKAGES}),
    }
    tensors = extract_state_dict(contents, checkpoint)
    write_atomically(out, safetensors.torch.save(tensors, described))


def _check_training(config: Config, about: dict[str, Any], checkpoint: Path) -> None:
    """Refuse a checkpoint that the training of a config did not write."""
    trained = about.get('cfg') or ''
    for name in SETTINGS:
        if Config({name: config[name]}).pretty_text not in trained:
            raise CheckpointError(
                f'checkpoint {str(checkpoint)!r} was trained with another {name} than '
                f'{config.filename} has'
            )


def _measured(config: Config, checkpoint: Path) -> dict[str, str]:
    """Return the metrics on val, as text."""
    with tempfile.TemporaryDirectory() as folder:
        set_work_dir(config, folder)
        set_strict_checkpoints(config)
        config.load_from = str(checkpoint)
        measured = build_runner(config).test()
    return {name: f'{measured[f"coco/{name}"]:.3f}' for name in METRICS}


def main() -> None:
    """Evaluate a checkpoint, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('config', type=Path, help='config with which the detector was trained')
    parser.add_argument('checkpoint', type=Path, help='checkpoint of the training')
    parser.add_argument('out', type=Path, metavar='FILE', help='the file, .safetensors')
    parser.add_argument(
        '--data-root',
        type=Path,
        required=True,
        metavar='DIR',
        help='digit scenes with which it was trained',
    )
    arguments = parser.parse_args()
    with one_clear_error('development'):
        publish_detector(arguments.config, arguments.checkpoint, arguments.out, arguments.data_root)
    size = arguments.out.stat().st_size
    print(f'{arguments.out}: {size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
