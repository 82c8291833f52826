"""Contents of a checkpoint to resume other than the model's weights."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmvmlp.checkpoints import (
    CheckpointError,
    check_averaged_weights,
    check_optimizer_state,
    drop_outside_checkpoints,
    read_checkpoint,
)
from mmvmlp.engine import StrictCheckpointHook


@pytest.fixture(params=['SGD', 'AdamW'])
def optimizer(request):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    options = {'momentum': 0.9} if request.param == 'SGD' else {}
    groups = [{'params': module.parameters()} for module in model]
    optimizer = getattr(torch.optim, request.param)(groups, lr=0.1, **options)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return optimizer


def first_tensor(state):
    return next(name for name, value in state['state'][0].items() if value.ndim)


def test_own_state_of_an_optimizer_is_accepted(optimizer):
    state = deepcopy(optimizer.state_dict())
    check_optimizer_state(optimizer, state, 'epoch_1.pth')
    optimizer.load_state_dict(state)


def test_implementation_options_are_those_of_the_run(optimizer):
    state = deepcopy(optimizer.state_dict())
    for group in state['param_groups']:
        group['fused'] = True
    check_optimizer_state(optimizer, state, 'epoch_1.pth')
    assert not any(group['fused'] for group in state['param_groups'])


@pytest.mark.parametrize(
    ('damage', 'named'),
    [
        (lambda state, name: state['state'][0].update({name: torch.zeros(3)}), r'shape \(3,\)'),
        (lambda state, name: state['state'][0][name].fill_(float('nan')), 'not finite'),
        (lambda state, name: state['param_groups'].pop(), 'different parameters'),
        (lambda state, name: state['param_groups'][0]['params'].pop(), 'different parameters'),
        (lambda state, name: state.pop('param_groups'), 'different parameters'),
    ],
    ids=['shape', 'nan', 'group', 'parameter', 'nothing'],
)
def test_state_that_does_not_fit_is_refused(optimizer, damage, named):
    state = deepcopy(optimizer.state_dict())
    damage(state, first_tensor(state))
    with pytest.raises(CheckpointError, match=rf"'epoch_1\.pth'.*{named}"):
        check_optimizer_state(optimizer, state, 'epoch_1.pth')


def test_averaged_weights_must_match_the_model():
    model = nn.Linear(3, 4)
    state = {'steps': torch.tensor(1)} | {f'module.{k}': v for k, v in model.state_dict().items()}
    check_averaged_weights(model, state, 'epoch_1.pth')
    for key, value, named in (
        ('module.weight', torch.full((4, 3), torch.nan), 'not finite'),
        ('module.weight', torch.zeros(4, 2), 'different shape'),
        ('module.more', torch.zeros(1), 'unexpected'),
    ):
        with pytest.raises(CheckpointError, match=named):
            check_averaged_weights(model, {**state, key: value}, 'epoch_1.pth')


def test_checkpoints_outside_the_work_folder_are_dropped(tmp_path):
    inside = str(tmp_path / 'work' / 'best.pth')
    records = {
        'best_ckpt': inside,
        'best_ckpt_coco/bbox_mAP': str(tmp_path / 'precious.pth'),
        'best_ckpt_other': str(tmp_path / 'work' / 'notes.txt'),
        'last_ckpt': str(tmp_path / 'work' / '..' / 'precious.pth'),
        'keep_ckpt_ids': ['../precious'],
        'iter': 7,
    }
    drop_outside_checkpoints({'runtime_info': records}, tmp_path / 'work')
    assert records == {'best_ckpt': inside, 'iter': 7}
    drop_outside_checkpoints(None, tmp_path)


def test_saved_checkpoint_can_be_read(tmp_path):
    checkpoint = {
        'state_dict': {'weight': torch.zeros(1)},
        'meta': {'dataset_meta': ConfigDict(classes=('a', 'b'), more=[ConfigDict(x=1)])},
    }
    StrictCheckpointHook().before_save_checkpoint(None, checkpoint)
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    meta = read_checkpoint(tmp_path / 'epoch_1.pth')['meta']['dataset_meta']
    assert meta == {'classes': ('a', 'b'), 'more': [{'x': 1}]}
