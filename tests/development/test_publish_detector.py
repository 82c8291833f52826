"""The program that turns a checkpoint into a file to publish."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from development.publish_detector import METRICS, publish_detector
from mmvmlp.checkpoints import CheckpointError, read_checkpoint
from mmvmlp.config.loading import load_config
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.inference.trained_model import load_trained_model

CONFIG = f"""
_base_ = '{Path('configs/mask_rcnn_hire_mlp_nano_digits.py').resolve()}'
train_cfg = dict(max_epochs=1, val_interval=2)
train_dataloader = dict(batch_size=2)
param_scheduler = []
"""


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'digits'
    return make_digit_scenes(folder, train=2, val=2, progress=False)


def test_the_weights_are_written_with_what_they_are(tmp_path, run, scenes):
    config, out = tmp_path / 'small_digits.py', tmp_path / 'small.safetensors'
    config.write_text(CONFIG)
    run('tools/train.py', config, '--data-root', scenes, '--work-dir', tmp_path / 'work')
    checkpoint = tmp_path / 'work/epoch_1.pth'

    publish_detector(config, checkpoint, out, scenes)
    trained = read_checkpoint(checkpoint)
    published = read_checkpoint(out)
    torch.testing.assert_close(published['state_dict'], dict(trained['state_dict']), rtol=0, atol=0)
    model = load_trained_model(load_config(config), out, 'cpu')
    assert list(model.dataset_meta['classes']) == list('0123456789')
    with safe_open(out, framework='pt') as opened:
        about = opened.metadata()
    assert about['config'] == 'small_digits.py'
    assert about['command'] == f'mmvmlp train {config} --data-root {scenes}'
    assert json.loads(about['scenes'])['train'] == 2
    assert about['epoch'] == '1'
    assert all(0 <= float(about[name]) <= 1 for name in METRICS)
    assert json.loads(about['versions'])['torch'] == torch.__version__

    before = out.read_bytes()
    config.write_text(f'{CONFIG}optim_wrapper = dict(optimizer=dict(lr=0.5))\n')
    with pytest.raises(CheckpointError, match='trained with another optim_wrapper'):
        publish_detector(config, checkpoint, out, scenes)
    with pytest.raises(ValueError, match=r"small.pth'.*\.safetensors is accepted"):
        publish_detector(config, checkpoint, tmp_path / 'small.pth', scenes)
    assert out.read_bytes() == before
    assert not (tmp_path / 'small.pth').exists()
