"""Find the checkpoint to resume, and check its contents other than the model's weights.

mmengine passes them unchecked to the optimiser, the hooks and the message hub.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import find_latest_checkpoint
from torch import nn

from mmvmlp.checkpoints.checks import check_trained_checkpoint
from mmvmlp.checkpoints.durable import newest_whole_checkpoint
from mmvmlp.checkpoints.reading import CheckpointError

IMPLEMENTATION = ('fused', 'foreach', 'capturable', 'differentiable')
"""Optimiser options that choose an implementation; the run decides them, not the checkpoint."""

WITH_FUSED_KERNELS = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adagrad,
)
"""Optimisers whose kernels read and write the state without checking its size."""


def checkpoint_to_resume(work_dir: str, name: str, out_dir: str | None = None) -> str | None:
    """Return the newest whole checkpoint, and print which newer ones are damaged.

    Args:
        work_dir: Work folder of the training.
        name: Name of its checkpoints, with ``{}`` in place of the number.
        out_dir: Folder of the checkpoints, as mmengine's ``CheckpointHook`` takes it; by default
            the work folder.

    Returns:
        The checkpoint, or the one that the work folder records if it is elsewhere; None if there
        is none.

    Raises:
        FileNotFoundError: If the recorded checkpoint does not exist.
        CheckpointError: If all checkpoints are damaged.
    """
    # As mmengine joins them.
    folder = os.path.join(out_dir, os.path.basename(os.path.abspath(work_dir))) if out_dir else None
    # Not `last_checkpoint`, whose path is absolute: it is wrong in a folder that was moved.
    newest, damaged = newest_whole_checkpoint(folder or work_dir, name)
    for file, found in damaged.items():
        print(f'Skipped checkpoint {str(file)!r}: {found}.')
    if newest is not None:
        return str(newest)
    if damaged:
        raise CheckpointError(
            f'work_dir={work_dir!r}: none of its checkpoints is whole ('
            + '; '.join(f'{str(file)!r}: {found}' for file, found in damaged.items())
            + '); name another one with --resume FILE, or train anew in another folder'
        )
    if not (Path(work_dir) / 'last_checkpoint').is_file():
        return None
    recorded: str = find_latest_checkpoint(work_dir)
    if '://' not in recorded and not os.path.isfile(recorded):
        raise FileNotFoundError(
            f'checkpoint {recorded!r}, recorded in {work_dir}/last_checkpoint, does not exist; '
            'name another one with --resume FILE, or delete that record to train anew'
        )
    return recorded


def missing_for_resuming(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the parts of a training's state that a checkpoint lacks, such as a best one."""
    parts = ('meta', 'message_hub', 'optimizer')
    missing = [part for part in parts if not isinstance(checkpoint.get(part), Mapping)]
    meta = {} if 'meta' in missing else checkpoint['meta']
    return missing or [
        f'meta.{key}' for key in ('epoch', 'iter') if not isinstance(meta.get(key), int)
    ]


def check_optimizer_state(optimizer: torch.optim.Optimizer, state: Any, origin: str | Path) -> None:
    """Refuse an optimiser state that does not fit the parameters.

    Args:
        optimizer: The optimiser of the run.
        state: The state in the checkpoint; its implementation options are set to those of the run.
        origin: File to name in errors.

    Raises:
        CheckpointError: If it is for different parameters, or a tensor differs in shape from its
            parameter or is not finite.
    """
    groups = state.get('param_groups') if isinstance(state, Mapping) else None
    ours = optimizer.param_groups
    if not isinstance(groups, list) or [len(group['params']) for group in groups] != [
        len(group['params']) for group in ours
    ]:
        raise CheckpointError(
            f'checkpoint {str(origin)!r}: the optimiser state is for different parameters from '
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
            f'checkpoint {str(origin)!r}: optimiser state {name!r} has shape '
            f'{tuple(value.shape)}, but its parameter has shape {tuple(parameter.shape)}'
        )
    if not value.isfinite().all():
        raise CheckpointError(
            f'checkpoint {str(origin)!r}: optimiser state {name!r} has values that are not finite'
        )


def check_averaged_weights(model: nn.Module, state: Mapping[str, Any], origin: str | Path) -> None:
    """Refuse averaged weights that do not match the model.

    Args:
        model: The model of the run.
        state: ``ema_state_dict`` of the checkpoint.
        origin: File to name in errors.

    Raises:
        CheckpointError: If tensors are missing or unexpected.
    """
    weights = {
        key.removeprefix('module.'): value
        for key, value in state.items()
        if key.startswith('module.')
    }
    check_trained_checkpoint(model, weights, f'{origin} (averaged weights)')


def drop_outside_checkpoints(message_hub: Any, work_dir: str | Path) -> None:
    """Drop records of checkpoints outside the work folder, which mmengine would delete.

    Args:
        message_hub: Message hub of the checkpoint; changed in place.
        work_dir: Work folder of the run, in which mmengine may delete old checkpoints.
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
