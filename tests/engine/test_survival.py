"""Trainings that are killed, resumed, moved, or given bad losses; on a model that trains in 1 ms."""

import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import forget_earlier_runs
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn

from mmvmlp.checkpoints import CheckpointError, read_checkpoint
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.settings import (
    build_runner,
    set_durable_training,
    set_resume,
    set_strict_checkpoints,
)
from mmvmlp.engine.work_dir_lock import lock_work_dir, unlock_work_dir

SAMPLES, BATCH, EPOCHS = 10, 2, 4
ITERATIONS_PER_EPOCH = 5


@MODELS.register_module()
class DroppedOut(BaseModel):
    """A layer with every kind of state: drop-out, running statistics, many bytes to write."""

    def __init__(self, not_finite_at=()):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.head = nn.Linear(8, 1)
        self.register_buffer('ballast', torch.zeros(200_000))
        self.not_finite_at, self.step = not_finite_at, 0

    def forward(self, values, mode='loss'):
        values = torch.stack(list(values))
        if self.training:
            self.step += 1
            if self.step in self.not_finite_at:
                values = values / 0
        loss = self.head(self.layers(values)).square().mean()
        return {'loss_of_head': loss} if mode == 'loss' else [loss]


@DATASETS.register_module()
class Augmented(torch.utils.data.Dataset):
    """Samples with noise from all three generators of random numbers."""

    def __init__(self, read):
        self.read = read

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        with open(self.read, 'a') as stream:
            stream.write(f'{int(index)} ')
        noise = random.random() + np.random.rand() + torch.rand(4)
        return {'values': noise + index}


@METRICS.register_module()
class Improving:
    """A metric that draws random numbers, as validation may, and is better each time."""

    dataset_meta = None
    calls = 0

    def process(self, *_, **__):
        torch.rand(3), random.random(), np.random.rand()

    def evaluate(self, size):
        self.calls += 1
        return {'acc': self.calls}


def loader(folder, workers):
    return {
        'batch_size': BATCH,
        'num_workers': workers,
        'persistent_workers': False,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'dataset': {'type': 'Augmented', 'read': str(folder / 'read.txt')},
    }


def config_of(folder, *, workers=0, ema=False, by_epoch_loop=True, **hooks):
    """Return a config of a training, with the commands' changes."""
    folder.mkdir(exist_ok=True)
    checkpoint = {'type': 'CheckpointHook', 'interval': 1, 'max_keep_ckpts': 1}
    iterations = EPOCHS * ITERATIONS_PER_EPOCH
    train_loader = loader(folder, workers)
    if not by_epoch_loop:
        train_loader['sampler']['type'] = 'InfiniteSampler'
    config = Config(
        {
            'model': {'type': 'DroppedOut'},
            'work_dir': str(folder),
            'experiment_name': f'{folder.name}_{time.monotonic_ns()}',
            'train_dataloader': train_loader,
            'train_cfg': {'by_epoch': True, 'max_epochs': EPOCHS}
            if by_epoch_loop
            else {'by_epoch': False, 'max_iters': iterations, 'val_interval': 7},
            'val_dataloader': {**loader(folder, 0), 'sampler': {'type': 'DefaultSampler'}},
            'val_cfg': {},
            'val_evaluator': {'type': 'Improving'},
            'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.01}},
            'param_scheduler': [
                {'type': 'LinearLR', 'by_epoch': False, 'end': 7, 'start_factor': 0.1},
                {'type': 'CosineAnnealingLR', 'T_max': EPOCHS, 'by_epoch': by_epoch_loop},
            ],
            'default_hooks': {
                'checkpoint': {**checkpoint, **hooks.pop('checkpoint', {})},
                **hooks,
            },
            'custom_hooks': [{'type': 'EMAHook'}] if ema else [],
            'randomness': {'seed': 3},
            'log_level': 'ERROR',
        }
    )
    set_durable_training(config)
    set_strict_checkpoints(config)
    return config


def train(config, resume=None):
    forget_earlier_runs()
    if resume:
        set_resume(config, resume)
    return build_runner(config).train()


def newest(folder):
    config = config_of(folder)
    set_resume(config, 'auto')
    return Path(config.load_from)


def assert_equal_checkpoints(first, second):
    first, second = read_checkpoint(first), read_checkpoint(second)
    for part in ('state_dict', 'ema_state_dict'):
        assert (part in first) == (part in second)
        for name, tensor in first.get(part, {}).items():
            assert torch.equal(tensor, second[part][name]), name
    assert str(first['optimizer']) == str(second['optimizer'])
    assert first['param_schedulers'] == second['param_schedulers']


class Stop(Exception):
    pass


def stop_after(runner_config, iteration):
    """Train until an iteration is over, as if the machine had stopped there."""
    forget_earlier_runs()
    runner = build_runner(runner_config)
    step = runner.call_hook

    def call_hook(name, **named):
        step(name, **named)
        if name == 'after_train_iter' and runner.iter + 1 == iteration:
            raise Stop

    runner.call_hook = call_hook
    with pytest.raises(Stop):
        runner.train()


@pytest.mark.parametrize(
    ('options', 'stopped_at'),
    [
        ({}, 11),
        ({'ema': True}, 11),
        ({'checkpoint': {'by_epoch': False, 'interval': 4}}, 13),
        ({'checkpoint': {'by_epoch': False, 'interval': 5}, 'ema': True}, 10),
        ({'checkpoint': {'by_epoch': False, 'interval': 4}, 'workers': 2}, 13),
        ({'checkpoint': {'by_epoch': False, 'interval': 4}, 'by_epoch_loop': False}, 13),
    ],
    ids=['epochs', 'ema', 'inside', 'at-the-end', 'workers', 'iterations'],
)
def test_resumed_training_equals_uninterrupted_training(tmp_path, options, stopped_at):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    train(config_of(whole, **options))
    stop_after(config_of(parts, **options), stopped_at)
    train(config_of(parts, **options), resume='auto')
    name = (whole / 'last_checkpoint').read_text().rpartition('/')[2]
    assert_equal_checkpoints(whole / name, parts / name)
