"""Apply command-line options to a config, and build its runner."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmvmlp.checkpoints import checkpoint_file
from mmvmlp.checkpoints.resuming import checkpoint_to_resume
from mmvmlp.config.required_files import check_checkpoint_exists
from mmvmlp.output_files import check_folder_can_be_written


def set_backbone_checkpoint(config: Config, checkpoint: str | Path) -> None:
    """Initialise the backbone from a checkpoint, published or our own.

    Args:
        config: Changed in place.
        checkpoint: A file, a URL, or the name of published weights, which are downloaded.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If published weights cannot be downloaded.
        ValueError: If the config's model has no backbone.
    """
    if 'backbone' not in config.get('model', {}):
        raise ValueError(
            f'backbone checkpoint {str(checkpoint)!r}: the model of {config.filename} has no '
            'backbone'
        )
    checkpoint_file(checkpoint)
    config.model.backbone['init_cfg'] = {
        'type': 'mmvmlp.OfficialPretrained',
        'checkpoint': str(checkpoint),
    }


def set_mixed_precision(config: Config, dtype: str) -> None:
    """Train in mixed precision.

    Args:
        config: Changed in place.
        dtype: ``'float16'`` for the whole model with a dynamic loss scale, on a GPU;
            ``'bfloat16'`` for backbone and neck, on any device: RoIAlign and NMS do not support it.

    Raises:
        ValueError: If ``dtype`` is not accepted, or requires a GPU and none is found.
    """
    if dtype == 'bfloat16':
        config.setdefault('custom_hooks', [])
        config.custom_hooks.append({'type': 'mmvmlp.AutocastHook', 'dtype': dtype})
    elif dtype == 'float16':
        if not torch.cuda.is_available():
            raise ValueError(
                "dtype='float16' requires a GPU, and none was found; 'bfloat16' does not"
            )
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.loss_scale = 'dynamic'
        config.optim_wrapper.dtype = dtype
    else:
        raise ValueError(f"dtype={dtype!r}: 'float16' and 'bfloat16' are accepted")


def set_test_time_augmentation(config: Config) -> None:
    """Test with the config's ``tta_model`` and ``tta_pipeline``.

    Raises:
        ValueError: If either is missing.
    """
    missing = [name for name in ('tta_model', 'tta_pipeline') if not config.get(name)]
    if missing:
        named = ' and no '.join(missing)
        raise ValueError(f'test-time augmentation: the config {config.filename} has no {named}')
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = {**config.tta_model, 'module': config.model}


def set_drawing(config: Config, folder: str) -> None:
    """Draw all predictions of a test with the toolbox's visualization hook.

    Args:
        config: Changed in place; its work folder must be set.
        folder: Folder of the images, relative to the work folder.

    Raises:
        OSError: If the folder is not writable.
        ValueError: If the config's ``default_scope`` is not a supported toolbox.
    """
    folder = os.path.abspath(os.path.join(config.work_dir, folder))
    check_folder_can_be_written(folder, 'show_dir')
    toolbox = config.get('default_scope')
    drawing: dict[str, tuple[str, dict[str, Any]]] = {
        'mmdet': ('DetVisualizationHook', {'draw': True, 'test_out_dir': folder}),
        'mmseg': ('SegVisualizationHook', {'draw': True}),
        # It draws on the network's input, which may be too small for text.
        'mmpretrain': (
            'VisualizationHook',
            {'enable': True, 'interval': 1, 'out_dir': folder, 'resize': 224},
        ),
    }
    if toolbox not in drawing:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: predictions can be drawn for '
            f'{", ".join(drawing)}'
        )
    hook_type, settings = drawing[toolbox]
    hooks = dict(config.get('default_hooks') or {})
    hooks['visualization'] = {
        'type': hook_type,
        **(hooks.get('visualization') or {}),
        **settings,
    }
    config.default_hooks = hooks
    if toolbox == 'mmseg':
        # Its hook would write images next to the visualizer's records.
        visualizer = dict(config.get('visualizer') or {'type': 'SegLocalVisualizer'})
        visualizer['vis_backends'] = [{'type': 'LocalVisBackend', 'img_save_dir': folder}]
        config.visualizer = visualizer


def set_auto_scale_lr(config: Config) -> None:
    """Scale the learning rate linearly with the batch size.

    Raises:
        ValueError: If the config does not set the base batch size.
    """
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise ValueError(
            f'auto_scale_lr.base_batch_size is not set in {config.filename}: it is required to '
            'scale the learning rate'
        )
    config.auto_scale_lr.enable = True


def set_work_dir(config: Config, work_dir: str | None) -> None:
    """Set the folder for logs and checkpoints, by default ``work_dirs/CONFIG_NAME``.

    Raises:
        OSError: If the folder is not writable.
        ValueError: If its name is empty.
    """
    if work_dir is not None:
        config.work_dir = work_dir
    elif not config.get('work_dir'):
        config.work_dir = os.path.join('work_dirs', Path(config.filename).stem)
    check_folder_can_be_written(config.work_dir, 'work_dir')


def set_log(config: Config) -> None:
    """Log at least every ten seconds, wherever mmengine's default hook would log."""
    hooks = dict(config.get('default_hooks') or {})
    # The runner's default.
    logger = hooks.get('logger', {'type': 'LoggerHook'})
    if logger and logger['type'] in ('LoggerHook', 'mmengine.LoggerHook', LoggerHook):
        hooks['logger'] = {**logger, 'type': 'mmvmlp.TimedLoggerHook'}
        config.default_hooks = hooks


def set_tensorboard(config: Config) -> None:
    """Write curves for TensorBoard, beside the other records, if it is installed.

    A config that names it already, or no records at all, stays as it is.
    """
    if find_spec('tensorboard') is None:
        return
    # The runner's default.
    visualizer = config.get('visualizer') or {
        'type': 'Visualizer',
        'vis_backends': [{'type': 'LocalVisBackend'}],
    }
    backends = visualizer.get('vis_backends')
    if not isinstance(backends, list) or not backends:
        return
    if not any(str(backend['type']).endswith('TensorboardVisBackend') for backend in backends):
        backend = {'type': 'mmengine.TensorboardVisBackend'}
        config.visualizer = {**visualizer, 'vis_backends': [*backends, backend]}


def set_resume(config: Config, checkpoint: str) -> None:
    """Resume training from a checkpoint.

    Args:
        config: Changed in place; its work folder must be set.
        checkpoint: A file, or ``'auto'`` for the newest one in the work folder that is whole;
            without any, training begins as without this option.

    Raises:
        FileNotFoundError: If the file does not exist, or the work folder records a checkpoint
            that does not.
        CheckpointError: If all checkpoints in the work folder are damaged.
    """
    if checkpoint == 'auto':
        newest = newest_checkpoint(config)
        if newest is None:
            print(f'Nothing to resume in {config.work_dir}: training begins.')
            return
        checkpoint = newest
    check_checkpoint_exists(checkpoint)
    config.resume = True
    config.load_from = checkpoint


def newest_checkpoint(config: Config) -> str | None:
    """Return the newest checkpoint in a config's work folder that is whole, if there is one.

    Raises:
        FileNotFoundError: If the work folder records a checkpoint that does not exist.
        CheckpointError: If all checkpoints in the work folder are damaged.
    """
    settings = dict((config.get('default_hooks') or {}).get('checkpoint') or {})
    by_epoch = settings.get('by_epoch', True)
    name = settings.get('filename_tmpl') or ('epoch_{}.pth' if by_epoch else 'iter_{}.pth')
    return checkpoint_to_resume(config.work_dir, name, settings.get('out_dir'))


def set_durable_training(config: Config) -> None:
    """Save checkpoints that survive crashes, resume exactly, and stop at losses like NaN.

    Hooks that the config has keep their settings; a hook that it sets to None stays off, as does
    the replacement of a checkpoint hook other than mmengine's.
    """
    hooks = dict(config.get('default_hooks') or {})
    # The runner's default.
    saving = hooks.get('checkpoint', {'type': 'CheckpointHook', 'interval': 1})
    if saving and saving.get('type', CheckpointHook) in (
        *('CheckpointHook', 'mmengine.CheckpointHook'),
        CheckpointHook,
    ):
        hooks['checkpoint'] = {**saving, 'type': 'mmvmlp.CheckpointHook'}
    for name, hook_type in (
        ('exact_resume', 'mmvmlp.ExactResumeHook'),
        ('finite_loss', 'mmvmlp.FiniteLossHook'),
    ):
        settings = hooks.pop(name, {})
        # mmengine takes None for its own hooks only.
        if settings is not None:
            hooks[name] = {'type': hook_type, **settings}
    config.default_hooks = hooks


def set_strict_checkpoints(config: Config) -> None:
    """Refuse checkpoints that do not fit the model of the run."""
    hooks = dict(config.get('default_hooks') or {})
    hooks['strict_checkpoint'] = {'type': 'mmvmlp.StrictCheckpointHook'}
    config.default_hooks = hooks


def build_runner(config: Config) -> Runner:
    """Build the runner of a config's ``runner_type``, by default mmengine's ``Runner``.

    Raises:
        ValueError: If ``runner_type`` is not registered.
    """
    runner_type = config.get('runner_type', 'Runner')
    if isinstance(runner_type, str) and RUNNERS.get(runner_type) is None:
        raise ValueError(
            f'runner_type={runner_type!r} is not registered; accepted are '
            f'{", ".join(RUNNERS.module_dict)}'
        )
    return RUNNERS.build(config)
