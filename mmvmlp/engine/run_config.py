"""Changes that the commands in ``tools/`` make to a config, and the runner built from it."""

import os
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from mmvmlp.analysis.whole_file import check_folder_can_be_written
from mmvmlp.engine.config_options import check_options
from mmvmlp.engine.required_files import SPLITS, check_checkpoint_exists
from mmvmlp.toolboxes import SCOPE, path_of_config

LAUNCHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    'none': ('', ()),
    'pytorch': (
        'tools/dist_train.sh, tools/dist_test.sh or torchrun',
        ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    ),
    'slurm': ('srun', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST')),
    'mpi': (
        'mpirun of Open MPI, with MASTER_ADDR set',
        (
            'OMPI_COMM_WORLD_RANK',
            'OMPI_COMM_WORLD_LOCAL_RANK',
            'OMPI_COMM_WORLD_SIZE',
            'MASTER_ADDR',
        ),
    ),
}
"""What starts processes, and the environment variables by which they know of each other."""


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and merge options into it, as ``--cfg-options`` gives them.

    Args:
        path: A file, or one of this package's configs as ``mmvmlp::NAME.py``.
        options: An option ``data_root`` is more than its variable: see :func:`set_data_root`.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it cannot be read or has no model, or an option would change nothing.
    """
    config = _read_config(path)
    others = dict(options or {})
    data_root = others.pop('data_root', None)
    check_options(config, others)
    try:
        config.merge_from_dict(others)
    except (AttributeError, KeyError, TypeError) as error:
        given = ' '.join(f'{key}={value}' for key, value in others.items())
        raise ValueError(
            f'--cfg-options {given}: this does not fit into {path} ({error.args[0]})'
        ) from error
    if data_root is not None:
        set_data_root(config, data_root)
    return config


def _read_config(path: str | Path) -> Config:
    package, separator, name = str(path).partition('::')
    if separator and package == SCOPE:
        path = path_of_config(name)
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {str(path)!r}: there is no such file')
    try:
        config = Config.fromfile(path)
    except Exception as error:
        # A config is a program, and may raise anything.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f'{last.filename}, line {last.lineno}: ' if last.name == '<module>' else ''
        raise ValueError(
            f'config {str(path)!r} cannot be read: {place}{type(error).__name__}: {error}'
        ) from error
    if not isinstance(config.get('model'), dict):
        raise ValueError(
            f'config {str(path)!r} has no model: a config of mmdet, mmsegmentation or mmpretrain '
            'is accepted'
        )
    return config


def set_data_root(config: Config, data_root: str | Path) -> None:
    """Point every data set and evaluator of a config to another folder.

    mmengine computes a config's paths when it reads the file, so a new value of the variable
    ``data_root`` alone would reach none of them.

    Args:
        config: Changed in place.
        data_root: The folder in which the config's relative paths are looked up.

    Raises:
        ValueError: If the config has no variable ``data_root`` to be replaced, or one of the two
            is empty.
    """
    if not str(data_root):
        raise ValueError("data_root='': the name of a folder is accepted")
    old = config.get('data_root')
    # Every path begins with an empty one.
    if not isinstance(old, str) or not old:
        raise ValueError(
            f'data_root={str(data_root)!r}: the config {config.filename} has no variable '
            'data_root that could be replaced; set the paths of its data sets with --cfg-options'
        )
    new = os.path.join(data_root, '')
    for split in SPLITS:
        for part in (f'{split}_dataloader', f'{split}_evaluator'):
            if config.get(part):
                config[part] = _moved(config[part], os.path.join(old, ''), new)
    config['data_root'] = new


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _moved(item, old, new) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, old, new) for item in value)
    if isinstance(value, str) and os.path.join(value, '').startswith(old):
        return new + value[len(old) :]
    return value


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


def set_launcher(config: Config, launcher: str) -> None:
    """Set how the processes of a run were started, and join them where mmengine cannot.

    mmengine asks for a GPU even for the backend gloo. Without one this joins the group itself,
    and leaves batch norms unsynchronised, for SyncBN runs on GPUs only.

    Args:
        config: Changed in place.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ValueError: If this process was not started by the launcher.
    """
    starter, variables = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise ValueError(
            f'launcher={launcher!r}: {", ".join(missing)} is not set in the environment; start the '
            f'processes with {starter}'
        )
    config.launcher = launcher
    if launcher != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    # By default mmengine hands the wrapper GPU numbers, which it refuses for a model on the CPU.
    wrapper = config.get('model_wrapper_cfg') or {
        'broadcast_buffers': False,
        'find_unused_parameters': config.get('find_unused_parameters', False),
    }
    config.model_wrapper_cfg = {**wrapper, 'device_ids': None}
    synchronised = bool(config.pop('sync_bn', None))
    if sum(_plain_batch_norm(config.model)) or synchronised:
        print_log(
            'No GPU is seen: batch norms are not synchronised; each process normalises its batch '
            'by itself.',
            logger='current',
        )


def _plain_batch_norm(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        if value.get('type') == 'SyncBN':
            value['type'] = 'BN'
            yield 1
        for item in value.values():
            yield from _plain_batch_norm(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _plain_batch_norm(item)


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
