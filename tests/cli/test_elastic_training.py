"""Several processes that train: one is killed, and torchrun or Slurm starts them again."""

import os
import subprocess
import sys

import pytest
import torch

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
    '''Kills a rank in the fifth iteration, which is the second one after a checkpoint.'''

    def __init__(self, rank=None):
        self.rank = rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        killed = Path(runner.work_dir) / 'killed'
        if runner.rank == self.rank and runner.iter == 4 and not killed.exists():
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


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / 'small.py').write_text(MODULE)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    # As on a machine without a GPU, and with a thread per process.
    for name, value in {'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / 'small_config.py'
    file.write_text(CONFIG)
    return file


def started(*command, **variables):
    ended = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    printed = ended.stdout + ended.stderr
    assert ended.returncode == 0, printed[-4000:]
    return printed


def torchrun(config, work_dir, *options, max_restarts=0):
    return started(
        *(sys.executable, 'tools/torchrun.py', '--standalone', '--nproc_per_node=2'),
        *(f'--max_restarts={max_restarts}', 'tools/train.py', config, '--launcher=pytorch'),
        *('--work-dir', work_dir, '--resume', *options),
    )


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 1])
def test_a_killed_rank_starts_again_and_ends_with_the_same_weights(config, tmp_path, rank):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    torchrun(config, whole)
    kill = ('--cfg-options', f'custom_hooks.0.rank={rank}')
    printed = torchrun(config, killed, *kill, max_restarts=1)
    assert (killed / 'killed').exists()
    assert 'resumed epoch: 0, iter: 3' in printed
    (ours,), (theirs,) = whole.glob('iter_*.pth'), killed.glob('iter_*.pth')
    assert ours.name == theirs.name == 'iter_8.pth'
    ours, theirs = read_checkpoint(ours), read_checkpoint(theirs)
    assert ours['meta']['iter'] == theirs['meta']['iter'] == 8
    for name, tensor in ours['state_dict'].items():
        assert torch.equal(tensor, theirs['state_dict'][name]), name
    assert str(ours['optimizer']) == str(theirs['optimizer'])
