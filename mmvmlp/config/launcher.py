"""Distributed runs, also on machines without a GPU."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log

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
"""The program that starts the processes, and the environment variables it sets."""


def set_launcher(config: Config, launcher: str) -> None:
    """Set the launcher of a run, and initialise the process group where mmengine cannot.

    mmengine requires a GPU even for the gloo backend. Without one, the group is initialised here,
    and SyncBN, which runs on GPUs only, becomes BN.

    Args:
        config: Changed in place.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ValueError: If the launcher did not start this process.
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
    # mmengine's default `device_ids` are GPUs, which DDP rejects for a model on the CPU.
    wrapper = config.get('model_wrapper_cfg') or {
        'broadcast_buffers': False,
        'find_unused_parameters': config.get('find_unused_parameters', False),
    }
    config.model_wrapper_cfg = {**wrapper, 'device_ids': None}
    synchronised = bool(config.pop('sync_bn', None))
    if sum(_plain_batch_norm(config.model)) or synchronised:
        print_log(
            'No GPU found: batch norms are not synchronised across processes.',
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
