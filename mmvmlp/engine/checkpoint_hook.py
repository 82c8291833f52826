"""Refusal of checkpoints that do not fit the model they are loaded into."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from mmvmlp.checkpoints import (
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
)
from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Refuses a checkpoint of another model before anything of it is loaded.

    mmengine loads the tensors that happen to fit and logs the rest: training goes on from random
    weights, or crashes when it restores the optimiser's state. A resumed or tested checkpoint must
    be of the whole model; one that training starts from (``load_from``, ``Pretrained``) must cover
    the backbone.
    """

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
        check(_unwrapped(runner.model), checkpoint, origin)


def _trains(runner: Any) -> bool:
    # The runner builds the loop from its settings when it starts to train.
    return isinstance(runner._train_loop, BaseLoop)


def _unwrapped(model: Any) -> Any:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
