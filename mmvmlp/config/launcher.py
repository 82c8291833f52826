"""Distributed runs, also on machines without a GPU."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log

SPLITTING = ('FlexibleRunner', 'FullySharded', 'FSDP', 'DeepSpeed', 'ColossalAI')
"""Parts of the names of types that split a model among devices."""

LAUNCHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    'none': ('', ()),
    'pytorch': (
        'tools/dist_train.sh, tools/dist_test.sh or torchrun',
        ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    ),
    'slurm': ('srun', ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS', 'SLURM_NODELIST')),
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
"""The program that starts the processes, and the environment variables it sets: first those of
process, process on its machine, and number of processes."""

DEFAULT_PORT = '29500'


def set_launcher(config: Config, launcher: str) -> None:
    """Set the launcher of a run, and initialise the process group where mmengine cannot.

    mmengine requires a GPU even for the gloo backend. Without one, the group is initialised here,
    and SyncBN, which runs on GPUs only, becomes BN. The variables of Slurm and MPI are passed on
    as those of torchrun: mmengine does not pass on all that it reads later.

    Args:
        config: Changed in place.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ValueError: If the launcher did not start this process, it is not known on which machine
            the first process of Slurm runs, or the config splits the model among devices.
    """
    check_strategy(config)
    starter, variables = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise ValueError(
            f'launcher={launcher!r}: {", ".join(missing)} is not set in the environment; start the '
            f'processes with {starter}'
        )
    if launcher == 'none':
        config.launcher = launcher
        return
    for name, given in zip(('RANK', 'LOCAL_RANK', 'WORLD_SIZE'), variables, strict=False):
        os.environ[name] = os.environ[given]
    os.environ.setdefault('MASTER_PORT', DEFAULT_PORT)
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(os.environ['SLURM_NODELIST'])
    config.launcher = 'pytorch'
    if torch.cuda.is_available():
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


def check_strategy(config: Config) -> None:
    """Refuse engines that split a model among devices.

    Raises:
        ValueError: If the config asks for mmengine's ``FlexibleRunner`` (DeepSpeed, ColossalAI,
            FSDP), or for the wrapper of FSDP.
    """
    wanted = {
        'runner_type': config.get('runner_type'),
        'strategy': config.get('strategy'),
        'model_wrapper_cfg.type': (config.get('model_wrapper_cfg') or {}).get('type'),
        'optim_wrapper.type': (config.get('optim_wrapper') or {}).get('type'),
    }
    for name, value in wanted.items():
        kind = value.get('type') if isinstance(value, dict) else value
        named = getattr(kind, '__name__', str(kind or ''))
        if name == 'strategy' and value or any(word in named for word in SPLITTING):
            raise ValueError(
                f'{name}={value!r}: models are trained by data parallelism only (DDP), for which '
                'all networks are small enough; remove this setting and start one process per GPU '
                'with tools/dist_train.sh. To save memory, use --amp and '
                'model.backbone.with_cp=True'
            )


def _first_machine(nodes: str) -> str:
    """Return the first name in a list of Slurm, such as ``node[3-5,7]``."""
    if not set(nodes) & set('[],'):
        return nodes
    try:
        command = ['scontrol', 'show', 'hostnames', nodes]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ValueError(
            f"launcher='slurm': scontrol does not name the machines of SLURM_NODELIST={nodes!r}; "
            'set MASTER_ADDR to the first of them'
        ) from error


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
