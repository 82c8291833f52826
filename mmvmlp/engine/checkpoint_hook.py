"""Refuse checkpoints that do not fit the model."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from mmvmlp.checkpoints import (
    CheckpointError,
    check_averaged_weights,
    check_optimizer_state,
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
    drop_outside_checkpoints,
    missing_for_resuming,
)
from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Refuses checkpoints of a different model before anything is loaded.

    mmengine loads the tensors that happen to fit and logs the rest: training continues from random
    weights, or crashes on restoring the optimiser state. A checkpoint to resume or test must match
    the whole model; one from which training starts (``load_from``, ``Pretrained``) must cover the
    backbone. On resuming, the state of optimiser and hooks is checked too.
    """

    # Runs before EMAHook, which loads averaged weights.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Any) -> None:
        """Check the checkpoints in ``init_cfg`` before weights are initialised for training.

        Raises:
            FileNotFoundError: If one does not exist.
            CheckpointError: If one cannot be read or does not fit.
        """
        if _trains(runner):
            check_pretrained_modules(_unwrapped(runner.model))

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Check the checkpoint before it is loaded into the model.

        Raises:
            CheckpointError: If it does not fit.
        """
        origin = runner._load_from or find_latest_checkpoint(runner.work_dir)
        whole = runner._resume or not _trains(runner)
        check = check_trained_checkpoint if whole else check_starting_checkpoint
        model = _unwrapped(runner.model)
        check(model, checkpoint, origin)
        if not runner._resume:
            return
        missing = missing_for_resuming(checkpoint)
        if missing:
            raise CheckpointError(
                f'checkpoint {str(origin)!r} has no state of a training to resume (missing are '
                f'{", ".join(missing)}); start from its weights with --cfg-options '
                f'load_from={origin}, without --resume'
            )
        if averaged := checkpoint.get('ema_state_dict'):
            check_averaged_weights(model, averaged, origin)
        drop_outside_checkpoints(checkpoint.get('message_hub'), runner.work_dir)
        states, wrapper = checkpoint.get('optimizer'), runner.optim_wrapper
        if states and isinstance(wrapper, OptimWrapperDict):
            for name, part in wrapper.items():
                check_optimizer_state(part.optimizer, states.get(name), origin)
        elif states:
            check_optimizer_state(wrapper.optimizer, states, origin)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Convert dataset metainfo to plain containers: the reader refuses mmengine's classes."""
        meta = checkpoint.get('meta') or {}
        if 'dataset_meta' in meta:
            meta['dataset_meta'] = _plain(meta['dataset_meta'])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


def _trains(runner: Any) -> bool:
    # The runner replaces the loop's settings by the loop when training starts.
    return isinstance(runner._train_loop, BaseLoop)


def _unwrapped(model: Any) -> Any:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
