"""Trainings in two processes: under torchrun, where some are killed, and as Slurm starts them."""

import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mmvmlp.checkpoints import read_checkpoint

# A model of this package's layers without a toolbox, which would take seconds to import.
MODULE = """
import os, signal
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS

from mmvmlp.backbones import HireMLP

Config.pretty_text = ''


@MODELS.register_module()
class Small(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = HireMLP(
            arch=dict(HireMLP.small_arch), out_indices=(-1,), drop_path_rate=0.2
        )

    def forward(self, images, mode='loss'):
        (features,) = self.backbone(torch.stack(list(images)))
        return {'loss': (features - 1).square().mean()}


@DATASETS.register_module()
class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return {'images': torch.randn(3, 32, 32) + index}


@HOOKS.register_module()
class KillOnce(Hook):
    '''Kills ranks in iterations (from 0), each once.'''

    def __init__(self, kills=()):
        self.kills = kills

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        killed = Path(runner.work_dir) / f'killed_{runner.rank}'
        if (runner.rank, runner.iter) in map(tuple, self.kills) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""
CONFIG = """
custom_imports = dict(imports=['small'])
model = dict(type='Small')
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='Noise'),
)
train_cfg = dict(by_epoch=True, max_epochs=2)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3, max_keep_ckpts=1))
custom_hooks = [dict(type='KillOnce')]
randomness = dict(seed=0)
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('config')
    (folder / 'small.py').write_text(MODULE)
    file = folder / 'small_config.py'
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope='module')
def uninterrupted(config, tmp_path_factory):
    """Return the work folder of a training of which nothing was killed."""
    work_dir = tmp_path_factory.mktemp('runs') / 'uninterrupted'
    under_torchrun(config, work_dir)
    return work_dir


@pytest.fixture(autouse=True, scope='module')
def _restored_signal_handlers():
    """Forget the handlers of torchrun's agent, which otherwise has a process of its own."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in handlers.items():
        if handler is not signal.getsignal(number):
            signal.signal(number, handler)


# Processes are forked from one that has imported what takes long.
multiprocessing.set_forkserver_preload(
    [
        *('mmengine.runner', 'mmvmlp.cli.train', 'mmvmlp.backbones', 'mmvmlp.engine'),
        *('matplotlib.backends.backend_agg', 'matplotlib.figure', 'torchvision'),
    ]
)


def train(log, config, *arguments, **variables):
    """Run tools/train.py, as on a machine without a GPU; what it prints goes to a file."""
    os.environ.update(CUDA_VISIBLE_DEVICES='', **variables)
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(config).parent))
    sys.argv = ['tools/train.py', str(config), *map(str, arguments)]
    with open(log, 'a') as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            runpy.run_path('tools/train.py', run_name='__main__')
        except SystemExit as ended:
            if ended.code:
                raise


def under_torchrun(config, work_dir, *options, max_restarts=0):
    """Train in two processes of torchrun's elastic agent, and return what they printed."""
    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id=work_dir.name,
        rdzv_backend='c10d',
        rdzv_endpoint='127.0.0.1:0',
        max_restarts=max_restarts,
        monitor_interval=0.1,
        start_method='forkserver',
    )
    log = work_dir.with_suffix('.log')
    arguments = (log, config, '--launcher=pytorch', '--work-dir', work_dir, '--resume', *options)
    # As mmvmlp.cli.torchrun sets it.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
        elastic_launch(settings, train)(*arguments)
    return log.read_text()


def assert_equal_trainings(first, second):
    (first,), (second,) = first.glob('iter_*.pth'), second.glob('iter_*.pth')
    assert first.name == second.name == 'iter_8.pth'
    first, second = read_checkpoint(first), read_checkpoint(second)
    assert first['meta']['iter'] == second['meta']['iter'] == 8
    for name, tensor in first['state_dict'].items():
        assert torch.equal(tensor, second['state_dict'][name]), name
    assert str(first['optimizer']) == str(second['optimizer'])


@pytest.mark.slow
def test_killed_processes_start_again_and_end_with_the_same_weights(
    config, uninterrupted, tmp_path
):
    killed = tmp_path / 'killed'
    # One after the checkpoint of iteration 3, the one that writes after that of iteration 6.
    kills = ('--cfg-options', 'custom_hooks.0.kills=[(1,4),(0,7)]')
    printed = under_torchrun(config, killed, *kills, max_restarts=2)
    assert {file.name for file in killed.glob('killed_*')} == {'killed_0', 'killed_1'}
    assert re.findall(r'resumed epoch: \d, iter: \d', printed) == [
        'resumed epoch: 0, iter: 3',
        'resumed epoch: 1, iter: 6',
    ]
    assert_equal_trainings(uninterrupted, killed)


SRUN = """#!/bin/sh
# Ends with the next status of a list, and writes down what it was to start.
here=$(dirname "$0")
printf '%s\\n' "$MASTER_PORT" "$@" > "$here/started"
status=$(head -n1 "$here/statuses")
sed -i 1d "$here/statuses"
exit "$status"
"""


def submitted(folder, statuses, *arguments):
    """Run cluster/slurm.sh with a stand-in of srun.

    Args:
        folder: A folder for the stand-in and an empty environment.
        statuses: With which srun ends, one after the other.
        *arguments: Arguments of the script.

    Returns:
        Exit status, port, and what srun was to start the last time, after its own options.
    """
    programs = folder / 'bin'
    programs.mkdir(exist_ok=True)
    (programs / 'activate').touch()
    (programs / 'srun').write_text(SRUN)
    (programs / 'srun').chmod(0o755)
    (programs / 'statuses').write_text(''.join(f'{status}\n' for status in statuses))
    variables = {'SLURM_JOB_ID': '1234567', 'SLURM_CPUS_PER_TASK': '6', 'VENV': str(folder)}
    ended = subprocess.run(
        ['bash', 'cluster/slurm.sh', *map(str, arguments)],
        env={**os.environ, **variables, 'PATH': f'{programs}:{os.environ["PATH"]}'},
    )
    assert not (programs / 'statuses').read_text()
    port, *command = (programs / 'started').read_text().splitlines()
    while command[0].startswith('--'):
        del command[0]
    return ended.returncode, port, command


def test_slurm_goes_on_after_kills_only(tmp_path):
    assert submitted(tmp_path, [137, 143, 0], 'config.py')[0] == 0
    assert submitted(tmp_path, [137] * 4, 'config.py')[0] == 137
    assert submitted(tmp_path, [1], 'config.py')[0] == 1


@pytest.mark.slow
def test_slurm_trains_like_torchrun(config, uninterrupted, tmp_path):
    work_dir = tmp_path / 'slurm'
    status, port, command = submitted(tmp_path, [0], config, '--work-dir', work_dir)
    assert status == 0
    assert command[:3] == ['python', '-u', 'tools/train.py']
    assert 20000 <= int(port) < 30000
    processes = [
        multiprocessing.get_context('forkserver').Process(
            target=train,
            args=(tmp_path / 'slurm.log', *command[3:]),
            kwargs={
                'MASTER_PORT': port,
                'SLURM_NODELIST': 'localhost',
                'SLURM_NTASKS': '2',
                'SLURM_PROCID': str(number),
                'SLURM_LOCALID': str(number),
            },
        )
        for number in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    log = (tmp_path / 'slurm.log').read_text()
    assert [process.exitcode for process in processes] == [0, 0], log[-3000:]
    assert_equal_trainings(uninterrupted, work_dir)
