"""README.md: its commands work in the order in which they are printed."""

import re
import sys
from pathlib import Path

import pytest
import torch
from parity import official_state_dict
from pasted import run_pasted

# What a test can afford in the place of COCO, eight GPUs and the published weights.
SCALES = (
    '"train_dataloader.dataset.pipeline.2.scale=(96,64)" '
    '"val_dataloader.dataset.pipeline.1.scale=(96,64)" '
    '"test_dataloader.dataset.pipeline.1.scale=(96,64)" param_scheduler.0.end=1 '
    'model.train_cfg.rcnn.sampler.num=32 model.test_cfg.rpn.max_per_img=100'
)
SMALLER = {
    '/data/coco': 'coco',
    'mask_rcnn_hire_mlp_s': 'mask_rcnn_hire_mlp_t',
    'hire_mlp_small.in1k': f'hire_mlp_tiny.in1k --cfg-options {SCALES} train_cfg.max_epochs=1',
    ' 8 ': ' 2 ',
    'epoch_12': 'epoch_1',
    '_t.py --data-root coco\n': f'_t.py --data-root coco --cfg-options {SCALES}\n',
    ' 2 --data-root coco\n': f' 2 --data-root coco --cfg-options {SCALES}\n',
    'photos/': 'coco/val2017',
}


@pytest.mark.slow
def test_the_commands_work_when_pasted(tmp_path, run, monkeypatch):
    readme = Path('README.md').read_text()
    (commands,) = re.findall(r'^```sh\n(.+?)^```$', readme, re.MULTILINE | re.DOTALL)
    for written, smaller in SMALLER.items():
        assert written in commands
        commands = commands.replace(written, smaller)
    torch.save({'model': official_state_dict('hire_mlp_tiny')}, tmp_path / 'hire_mlp_tiny.pth')
    monkeypatch.setenv('MMVMLP_WEIGHTS', str(tmp_path))
    data = 'python tools/make_digits.py coco --categories coco80 --train 4 --val 2 --size 96 128'
    monkeypatch.setenv('PYTHON', sys.executable)
    monkeypatch.setenv('PORT', '29519')
    output = run_pasted(f'{data}\n{commands}', tmp_path, run, monkeypatch)
    assert 'No errors found' in output
    assert 'official Hire-MLP' in output
    assert 'Epoch(test)' in output
    assert (tmp_path / 'predictions/predictions.json').is_file()
