"""Changes that the commands make to a config, and the runner built from it."""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from mmvmlp.config.required_files import check_checkpoint_exists
from mmvmlp.output_files import check_folder_can_be_written


def set_backbone_checkpoint(config: Config, checkpoint: str | Path) -> None:
    """Make the backbone start from a published checkpoint, or one of ours, of its network.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the config's model has no backbone.
    """
    if 'backbone' not in config.get('model', {}):
        raise ValueError(
            f'backbone checkpoint {str(checkpoint)!r}: the model of {config.filename} has no '
            'backbone'
        )
    check_checkpoint_exists(checkpoint)
    config.model.backbone['init_cfg'] = {
        'type': 'mmvmlp.OfficialPretrained',
        'checkpoint': str(checkpoint),
    }


def set_mixed_precision(config: Config, dtype: str) -> None:
    """Train in mixed precision.

    Args:
        config: Changed in place.
        dtype: ``'float16'`` for the whole model with a dynamic loss scale, on a GPU;
            ``'bfloat16'`` for backbone and neck, anywhere, for RoIAlign and NMS know no bfloat16.

    Raises:
        ValueError: If the type is another one, or needs a GPU where none is seen.
    """
    if dtype == 'bfloat16':
        config.setdefault('custom_hooks', [])
        config.custom_hooks.append({'type': 'mmvmlp.AutocastHook', 'dtype': dtype})
    elif dtype == 'float16':
        if not torch.cuda.is_available():
            raise ValueError("dtype='float16' needs a GPU, and none is seen; 'bfloat16' needs none")
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.loss_scale = 'dynamic'
        config.optim_wrapper.dtype = dtype
    else:
        raise ValueError(f"dtype={dtype!r}: 'float16' and 'bfloat16' are accepted")


def set_test_time_augmentation(config: Config) -> None:
    """Test with the config's ``tta_model`` on the images of its ``tta_pipeline``.

    Raises:
        ValueError: If the config has none.
    """
    missing = [name for name in ('tta_model', 'tta_pipeline') if not config.get(name)]
    if missing:
        named = ' and no '.join(missing)
        raise ValueError(f'test-time augmentation: the config {config.filename} has no {named}')
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = {**config.tta_model, 'module': config.model}


def set_drawing(config: Config, folder: str) -> None:
    """Draw every prediction of a test, by the visualization hook of the config's toolbox.

    Args:
        config: Changed in place; its work folder must be set.
        folder: Where the images go, looked up in the work folder.

    Raises:
        OSError: If nothing can be written there.
        ValueError: If the config's ``default_scope`` is no toolbox that draws.
    """
    folder = os.path.abspath(os.path.join(config.work_dir, folder))
    check_folder_can_be_written(folder, 'show_dir')
    toolbox = config.get('default_scope')
    drawing: dict[str, tuple[str, dict[str, Any]]] = {
        'mmdet': ('DetVisualizationHook', {'draw': True, 'test_out_dir': folder}),
        'mmseg': ('SegVisualizationHook', {'draw': True}),
        # It draws what the network sees, whose size may leave no room for text.
        'mmpretrain': (
            'VisualizationHook',
            {'enable': True, 'interval': 1, 'out_dir': folder, 'resize': 224},
        ),
    }
    if toolbox not in drawing:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: predictions are drawn for '
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
        # Its hook hands images to the visualizer, beside whose records they would go.
        visualizer = dict(config.get('visualizer') or {'type': 'SegLocalVisualizer'})
        visualizer['vis_backends'] = [{'type': 'LocalVisBackend', 'img_save_dir': folder}]
        config.visualizer = visualizer


def set_auto_scale_lr(config: Config) -> None:
    """Scale the learning rate by the run's batch size over the one that the config is made for.

    Raises:
        ValueError: If the config does not say which batch size that is.
    """
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise ValueError(
            f'auto_scale_lr.base_batch_size is not set in {config.filename}: the learning rate '
            'can only be scaled from a known batch size'
        )
    config.auto_scale_lr.enable = True


def set_work_dir(config: Config, work_dir: str | None) -> None:
    """Set the folder for logs and checkpoints: by default ``work_dirs/`` and the config's name.

    Raises:
        OSError: If nothing can be written there.
        ValueError: If the name is empty.
    """
    if work_dir is not None:
        config.work_dir = work_dir
    elif not config.get('work_dir'):
        config.work_dir = os.path.join('work_dirs', Path(config.filename).stem)
    check_folder_can_be_written(config.work_dir, 'work_dir')


def set_log(config: Config) -> None:
    """Log at least every ten seconds, wherever mmengine's own hook would log."""
    hooks = dict(config.get('default_hooks') or {})
    # What the runner adds.
    logger = hooks.get('logger', {'type': 'LoggerHook'})
    if logger and logger['type'] in ('LoggerHook', 'mmengine.LoggerHook', LoggerHook):
        hooks['logger'] = {**logger, 'type': 'mmvmlp.TimedLoggerHook'}
        config.default_hooks = hooks


def set_resume(config: Config, checkpoint: str) -> None:
    """Resume training from a checkpoint.

    Args:
        config: Changed in place; its work folder must be set.
        checkpoint: A file, or ``'auto'`` for the latest one in the work folder, if there is any.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    config.resume = True
    config.load_from = None if checkpoint == 'auto' else checkpoint
    latest = config.load_from or find_latest_checkpoint(config.work_dir)
    if latest is not None:
        check_checkpoint_exists(latest)


def set_strict_checkpoints(config: Config) -> None:
    """Refuse every checkpoint that does not fit the model of the run, and read it safely."""
    hooks = dict(config.get('default_hooks') or {})
    hooks['strict_checkpoint'] = {'type': 'mmvmlp.StrictCheckpointHook'}
    config.default_hooks = hooks


def build_runner(config: Config) -> Runner:
    """Build the runner that a config's ``runner_type`` names, mmengine's ``Runner`` by default.

    Raises:
        ValueError: If there is no such runner.
    """
    runner_type = config.get('runner_type', 'Runner')
    if isinstance(runner_type, str) and RUNNERS.get(runner_type) is None:
        raise ValueError(
            f'runner_type={runner_type!r}: none of that name is registered; '
            f'{", ".join(RUNNERS.module_dict)} are'
        )
    return RUNNERS.build(config)
