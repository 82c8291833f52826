"""What a checkpoint to resume from holds besides the model's weights.

mmengine hands all of it to the optimiser, to hooks and to the message hub as it stands.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmvmlp.checkpoints.loading import check_trained_checkpoint
from mmvmlp.checkpoints.reading import CheckpointError

IMPLEMENTATION = ('fused', 'foreach', 'capturable', 'differentiable')
"""How an optimiser computes a step: the run's business, not the file's."""

WITH_FUSED_KERNELS = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adagrad,
)
"""Their kernels read and write the state without a look at its size."""


def check_optimizer_state(optimizer: torch.optim.Optimizer, state: Any, origin: str | Path) -> None:
    """Refuse an optimiser's state that does not fit the parameters it is for.

    Args:
        optimizer: The run's optimiser.
        state: The state in the checkpoint. How steps are computed becomes what the run says.
        origin: The file that errors name.

    Raises:
        CheckpointError: If it is for other parameters, or a tensor has another shape than its
            parameter or values that are not finite.
    """
    groups = state.get('param_groups') if isinstance(state, Mapping) else None
    ours = optimizer.param_groups
    if not isinstance(groups, list) or [len(group['params']) for group in groups] != [
        len(group['params']) for group in ours
    ]:
        raise CheckpointError(
            f'checkpoint {str(origin)!r}: the state of the optimiser is for other parameters than '
            'those of this run'
        )
    for theirs, group in zip(groups, ours, strict=True):
        theirs.update({key: group[key] for key in IMPLEMENTATION if key in group})
        for number, parameter in zip(theirs['params'], group['params'], strict=True):
            for name, value in state.get('state', {}).get(number, {}).items():
                if isinstance(value, torch.Tensor):
                    _check_tensor(optimizer, name, value, parameter, origin)


def _check_tensor(
    optimizer: torch.optim.Optimizer,
    name: str,
    value: torch.Tensor,
    parameter: torch.Tensor,
    origin: str | Path,
) -> None:
    fits = value.ndim == 0 or value.shape == parameter.shape
    if isinstance(optimizer, WITH_FUSED_KERNELS) and not fits:
        raise CheckpointError(
            f"checkpoint {str(origin)!r}: the optimiser's {name!r} of a parameter of shape "
            f'{tuple(parameter.shape)} has shape {tuple(value.shape)}'
        )
    if not value.isfinite().all():
        raise CheckpointError(
            f"checkpoint {str(origin)!r}: the optimiser's {name!r} has values that are not finite"
        )


def check_averaged_weights(model: nn.Module, state: Mapping[str, Any], origin: str | Path) -> None:
    """Refuse averaged weights that are not of the model.

    Args:
        model: The run's model.
        state: ``ema_state_dict`` of the checkpoint.
        origin: The file that errors name.

    Raises:
        CheckpointError: If they lack a tensor of the model, or have another one.
    """
    weights = {
        key.removeprefix('module.'): value
        for key, value in state.items()
        if key.startswith('module.')
    }
    check_trained_checkpoint(model, weights, f'{origin} (averaged weights)')


def forget_files_elsewhere(message_hub: Any, work_dir: str | Path) -> None:
    """Drop records of files outside the work folder: mmengine deletes what they name.

    Args:
        message_hub: Of the checkpoint; changed in place.
        work_dir: The folder of the run, in which old checkpoints may be deleted.
    """
    records = message_hub.get('runtime_info') if isinstance(message_hub, Mapping) else None
    if not isinstance(records, MutableMapping):
        return
    folder = os.path.realpath(work_dir)
    for key in list(records):
        value = records[key]
        if str(key).startswith(('best_ckpt', 'last_ckpt')):
            path = os.path.realpath(value) if isinstance(value, str) else ''
            if os.path.dirname(path) != folder or not path.endswith('.pth'):
                del records[key]
        elif key == 'keep_ckpt_ids' and not _are_integers(value):
            del records[key]


def _are_integers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(number, int) for number in value)
