"""Trainings that are killed, resumed, moved, or given bad losses, on a model of a few layers."""

import errno
import fcntl
import multiprocessing
import os
import random
import re
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
from mmengine.logging import MessageHub
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


@pytest.fixture(autouse=True)
def _unformatted_config(monkeypatch):
    """Do not format the config for every checkpoint, which takes longer than to train."""
    monkeypatch.setattr(Config, 'pretty_text', '')


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

    def process(self, *_, **__):
        torch.rand(3), random.random(), np.random.rand()

    def evaluate(self, size):
        return {'acc': MessageHub.get_current_instance().get_info('iter')}


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
    (folder / 'val').mkdir(parents=True, exist_ok=True)
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
            'val_dataloader': loader(folder / 'val', 0),
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


def newest(folder, **options):
    config = config_of(folder, **options)
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
    # This process goes on.
    unlock_work_dir(runner.work_dir)


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
    if 'workers' not in options:
        # Only the steps since the checkpoint are repeated.
        interval = options.get('checkpoint', {}).get('interval', ITERATIONS_PER_EPOCH)
        assert read(parts) - read(whole) == BATCH * (stopped_at % interval)


def read(folder):
    """Return how many samples were read for training."""
    file = folder / 'read.txt'
    return len(file.read_text().split()) if file.exists() else 0


def test_processes_that_do_not_find_the_same_checkpoint_are_refused(tmp_path, monkeypatch):
    gathered = 'mmvmlp.engine.exact_resume_hook.all_gather_object'
    monkeypatch.setattr(gathered, lambda iteration: [iteration, 5])
    with pytest.raises(ValueError, match=r'after iterations \[0, 5\].* all of them share'):
        train(config_of(tmp_path))
    unlock_work_dir(str(tmp_path))


# Processes are forked from one that has computed no gradients: PyTorch computes none in a fork of
# one that has done so in several threads, as other tests do. It has imported what takes long; this
# file it would not find in Python 3.11.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(
    [
        *('mmengine.runner', 'mmvmlp.config.settings', 'mmvmlp.engine'),
        *('matplotlib.backends.backend_agg', 'matplotlib.figure', 'torchvision'),
    ]
)


def in_a_process(action, *arguments, errors=os.devnull):
    """Start a process that runs a function of this module, with its errors written to a file."""
    process = PROCESSES.Process(target=run, args=(action, arguments, str(errors)))
    process.start()
    return process


def run(action, arguments, errors):
    """Run a function in a process of its own, which prints nothing."""
    Config.pretty_text = ''
    sys.stdout, sys.stderr = open(os.devnull, 'w'), open(errors, 'w')
    action(*arguments)


def exit_status(process):
    """Wait for a process, and return its exit status."""
    process.join()
    return process.exitcode


def test_trainings_that_are_killed_lose_no_more_than_the_last_interval(tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    options = {'checkpoint': {'by_epoch': False, 'interval': 1, 'save_best': 'acc'}, 'ema': True}
    train(config_of(whole, **options))
    moments, kills = random.Random(0), 0
    for attempt in range(10):
        if attempt == 5:
            shutil.rmtree(killed)
        process = in_a_process(train, config_of(killed, **options), 'auto')
        enough = read(killed) + moments.randint(1, 4 * BATCH)
        while read(killed) < enough and process.is_alive():
            time.sleep(0.001)
        # As long as it takes to step and to write.
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        kills += exit_status(process) == -signal.SIGKILL
        saved = list(killed.glob('iter_*.pth'))
        # Of the two that may be there, the older was about to be deleted.
        assert len(saved) <= 2
        if saved:
            newest_file = newest(killed, **options)
            assert newest_file == max(saved, key=lambda file: int(file.stem[5:]))
            read_checkpoint(newest_file)
    assert kills >= 8
    train(config_of(killed, **options), resume='auto')
    name = f'iter_{EPOCHS * ITERATIONS_PER_EPOCH}.pth'
    assert [file.name for file in killed.glob('iter_*.pth')] == [name]
    assert not list(killed.glob('.*.incomplete'))
    # Killed while it loads, steps or writes, a training repeats that iteration, and loads another
    # where the kill came after the step.
    assert read(killed) <= read(whole) + 5 * 2 * BATCH
    assert_equal_checkpoints(whole / name, killed / name)


def test_resuming_takes_the_newest_whole_checkpoint_also_in_a_moved_folder(tmp_path, capsys):
    former, moved = tmp_path / 'former', tmp_path / 'moved'
    stop_after(config_of(former, checkpoint={'max_keep_ckpts': 3}), 16)
    assert {file.name for file in former.glob('*.pth')} == {f'epoch_{n}.pth' for n in (1, 2, 3)}
    former.rename(moved)
    assert newest(moved) == moved / 'epoch_3.pth'
    third, second = moved / 'epoch_3.pth', moved / 'epoch_2.pth'
    third.write_bytes(third.read_bytes()[:-1000])
    contents = bytearray(second.read_bytes())
    contents[len(contents) // 2] ^= 1
    second.write_bytes(contents)
    with pytest.raises(CheckpointError, match=r'epoch_2.*differ from its SHA-256'):
        read_checkpoint(second)
    capsys.readouterr()
    assert newest(moved) == moved / 'epoch_1.pth'
    printed = capsys.readouterr().out
    assert f"'{third}': it is truncated" in printed
    assert f"'{second}': its contents differ" in printed
    whole = tmp_path / 'whole'
    train(config_of(whole))
    train(config_of(moved, checkpoint={'max_keep_ckpts': 2}), resume='auto')
    assert_equal_checkpoints(whole / 'epoch_4.pth', moved / 'epoch_4.pth')
    # The toolboxes' own programs only set this.
    (moved / 'epoch_4.pth').write_bytes(b'nothing')
    config = config_of(moved)
    config.resume = True
    forget_earlier_runs()
    runner = build_runner(config)
    runner.train()
    assert runner._load_from == str(moved / 'epoch_3.pth')
    assert_equal_checkpoints(whole / 'epoch_4.pth', moved / 'epoch_4.pth')
    for file in moved.glob('*.pth'):
        file.write_bytes(b'nothing')
    with pytest.raises(CheckpointError, match='none of its checkpoints is whole'):
        newest(moved)


def test_every_flipped_bit_is_found(tmp_path):
    train(config_of(tmp_path))
    file = tmp_path / 'epoch_4.pth'
    contents = file.read_bytes()
    assert torch.load(file, weights_only=False)['meta']['iter'] == EPOCHS * ITERATIONS_PER_EPOCH
    positions = random.Random(0).sample(range(len(contents)), 25)
    # Among them those of the zip file's last record, and of the seal.
    for position in [*positions, 0, *range(len(contents) - 93, len(contents), 4)]:
        damaged = bytearray(contents)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r'epoch_4\.pth'):
            read_checkpoint(file)


def test_a_checkpoint_without_the_state_of_a_training_is_refused_with_the_fix(tmp_path):
    train(config_of(tmp_path, checkpoint={'save_best': 'acc'}))
    best = next(tmp_path.glob('best_acc_*.pth'))
    with pytest.raises(
        CheckpointError, match=r'missing are optimizer.*load_from=.*without --resume'
    ):
        train(config_of(tmp_path / 'again'), resume=str(best))
    torch.save({'state_dict': read_checkpoint(best)['state_dict']}, tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError, match='missing are meta, message_hub, optimizer'):
        train(config_of(tmp_path / 'again'), resume=str(tmp_path / 'weights.pth'))


def test_without_a_checkpoint_resuming_begins_as_without_it(tmp_path):
    config = config_of(tmp_path)
    config.load_from = 'pretrained.pth'
    set_resume(config, 'auto')
    assert not config.get('resume')
    assert config.load_from == 'pretrained.pth'
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    with pytest.raises(FileNotFoundError, match='/elsewhere/epoch_3.pth.*--resume FILE'):
        set_resume(config, 'auto')


def test_the_former_best_checkpoint_is_deleted_last(tmp_path, monkeypatch):
    config = config_of(tmp_path, checkpoint={'save_best': 'acc'})
    present = []
    hook = build_runner(config)
    save = hook.save_checkpoint

    def save_checkpoint(*arguments, **named):
        present.append({file.name for file in tmp_path.glob('*.pth')})
        save(*arguments, **named)

    hook.save_checkpoint = save_checkpoint
    hook.train()
    assert all(present[1:])
    writing_best = present[4]
    assert {'epoch_2.pth', 'best_acc_epoch_1.pth'} == writing_best
    assert {file.name for file in tmp_path.glob('*.pth')} == {'epoch_4.pth', 'best_acc_epoch_4.pth'}


def test_two_trainings_cannot_share_a_work_folder(tmp_path):
    lock_work_dir(str(tmp_path))
    try:
        errors = tmp_path / 'errors.txt'
        assert exit_status(in_a_process(train, config_of(tmp_path), errors=errors)) == 1
        assert re.search(f'process {os.getpid()} on .* is training there', errors.read_text())
        assert not list(tmp_path.glob('*.pth'))
    finally:
        unlock_work_dir(str(tmp_path))
    train(config_of(tmp_path))
    assert exit_status(in_a_process(train, config_of(tmp_path))) == 0


def test_a_file_system_without_locks_is_reported(tmp_path, monkeypatch, capfd):
    def lockf(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'lockf', lockf)
    lock_work_dir(str(tmp_path))
    printed = capfd.readouterr()
    assert 'cannot lock files (No locks available)' in printed.out + printed.err


def with_bad_losses(folder, steps, **hook):
    config = config_of(folder, finite_loss=hook, checkpoint={'max_keep_ckpts': 1})
    config.model.not_finite_at = steps
    return config


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path, capsys):
    with pytest.raises(SystemExit), one_clear_error():
        train(with_bad_losses(tmp_path, [7]))
    message = capsys.readouterr().err
    assert 'error: iteration 7: the loss is not finite (loss, loss_of_head)' in message
    assert 'learning rate' in message
    assert [file.name for file in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    read_checkpoint(tmp_path / 'epoch_1.pth')


def test_steps_with_a_loss_that_is_not_finite_are_skipped_and_counted(tmp_path):
    model = train(with_bad_losses(tmp_path, [7, 8, 20], action='skip', limit=2))
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    optimizer = read_checkpoint(tmp_path / 'epoch_4.pth')['optimizer']
    assert optimizer['state'][0]['step'] == EPOCHS * ITERATIONS_PER_EPOCH - 3
    with pytest.raises(FloatingPointError, match='iteration 9.*2 steps in a row'):
        train(with_bad_losses(tmp_path, [7, 8, 9], action='skip', limit=2))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    config = config_of(tmp_path)
    config.optim_wrapper.optimizer = {'type': 'SGD', 'lr': 1e30}
    config.param_scheduler = []
    config.default_hooks.finite_loss = None
    set_durable_training(config)
    config.default_hooks.finite_loss = {'type': 'mmvmlp.FiniteLossHook'}
    with pytest.raises(FloatingPointError, match='not finite'):
        train(config)
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('options', [{'action': 'ignore'}, {'limit': 0}])
def test_wrong_options_are_named(tmp_path, options):
    with pytest.raises(ValueError, match='|'.join(options)):
        build_runner(with_bad_losses(tmp_path, [], **options))


def train_with_files_of_at_most(size, config):
    """Resume a training that can write no larger files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with one_clear_error():
        train(config, 'auto')


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    stop_after(config_of(tmp_path), 6)
    before = (tmp_path / 'epoch_1.pth').read_bytes()
    errors, config = tmp_path / 'errors.txt', config_of(tmp_path)
    process = in_a_process(train_with_files_of_at_most, len(before) // 2, config, errors=errors)
    assert exit_status(process) == 1
    message = errors.read_text()
    assert message.count('error: checkpoint') == 1
    assert 'epoch_2.pth' in message
    assert 'make room' in message
    assert [file.name for file in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    assert (tmp_path / 'epoch_1.pth').read_bytes() == before
    assert newest(tmp_path) == tmp_path / 'epoch_1.pth'
