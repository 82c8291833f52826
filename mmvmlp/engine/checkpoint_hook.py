"""Refusal of checkpoints that do not fit the model they are loaded into."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from mmvmlp.checkpoints import (
    check_averaged_weights,
    check_optimizer_state,
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
    forget_files_elsewhere,
)
from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Refuses a checkpoint of another model before anything of it is loaded.

    mmengine loads the tensors that happen to fit and logs the rest: training goes on from random
    weights, or crashes when it restores the optimiser's state. A resumed or tested checkpoint must
    be of the whole model; one that training starts from (``load_from``, ``Pretrained``) must cover
    the backbone. What a resumed one holds besides is checked before optimiser and hooks use it.
    """

    # Before the hook of averaged weights, which loads what is read.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Any) -> None:
        """Check the checkpoints that ``init_cfg`` names, before training initialises weights.

        Raises:
            FileNotFoundError: If there is no such file.
            CheckpointError: If one cannot be read or does not fit.
        """
        if _trains(runner):
            check_pretrained_modules(_unwrapped(runner.model))

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Check what was read, before it reaches the model.

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
        if averaged := checkpoint.get('ema_state_dict'):
            check_averaged_weights(model, averaged, origin)
        forget_files_elsewhere(checkpoint.get('message_hub'), runner.work_dir)
        states, wrapper = checkpoint.get('optimizer'), runner.optim_wrapper
        if states and isinstance(wrapper, OptimWrapperDict):
            for name, part in wrapper.items():
                check_optimizer_state(part.optimizer, states.get(name), origin)
        elif states:
            check_optimizer_state(wrapper.optimizer, states, origin)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Record class names as plain containers: the reader allows no class of mmengine's."""
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
    # The runner builds the loop from its settings when it starts to train.
    return isinstance(runner._train_loop, BaseLoop)


def _unwrapped(model: Any) -> Any:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
