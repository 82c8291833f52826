"""The demo from end to end, on a few scenes."""

import json
import shlex
import subprocess
from pathlib import Path

import cv2
import pytest

from mmvmlp.cli import demo as module
from mmvmlp.datasets.digit_scenes import make_digit_scenes

LONGEST_OUTPUT = 60

CONFIG = """
_base_ = '{base}'
root = '{data}/'
train_dataloader = dict(dataset=dict(data_root=root, indices=8))
val_dataloader = dict(dataset=dict(data_root=root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture
def demo(tmp_path, monkeypatch):
    config = tmp_path / 'small_digits.py'
    data = tmp_path / 'digits'
    config.write_text(CONFIG.format(base=module.CONFIG, data=data))
    make = module.make_digit_scenes
    monkeypatch.setattr(
        module,
        'make_digit_scenes',
        lambda folder, **kw: make(folder, **{**kw, 'train': 8, 'val': 4}),
    )
    monkeypatch.setattr('sys.argv', ['mmvmlp demo'])
    monkeypatch.setattr(module, 'CONFIG', str(config))
    monkeypatch.setattr(module, 'DATA', data)
    monkeypatch.setattr(module, 'WORK_DIR', tmp_path / 'work')
    return module


class ScenesAreThereError(Exception):
    """The demo has its scenes and would train."""


@pytest.fixture
def demo_until_training(demo, monkeypatch):
    def stop(*_):
        raise ScenesAreThereError

    monkeypatch.setattr(demo, 'run', stop)
    return demo


def test_scenes_of_an_earlier_version_are_made_anew(demo_until_training, capfd):
    with pytest.raises(ScenesAreThereError):
        demo_until_training.main()
    manifest = demo_until_training.DATA / 'digit_scenes.json'
    current = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(current), 'version': 1}))
    with pytest.raises(ScenesAreThereError):
        demo_until_training.main()
    assert 'made by version 1' in capfd.readouterr().out
    assert manifest.read_text() == current


def test_other_scenes_stay_until_the_user_replaces_them(demo_until_training, capfd):
    data = demo_until_training.DATA
    make_digit_scenes(data, train=2, val=2, seed=9, progress=False)
    manifest = (data / 'digit_scenes.json').read_text()
    with pytest.raises(SystemExit):
        demo_until_training.main()
    assert (data / 'digit_scenes.json').read_text() == manifest
    subprocess.run(shlex.split(capfd.readouterr().err.splitlines()[-1]), check=True)
    with pytest.raises(ScenesAreThereError):
        demo_until_training.main()
    assert 'up to date' in capfd.readouterr().out


@pytest.mark.slow
def test_writes_what_it_names(demo, tmp_path, capfd):
    for _ in range(2):
        demo.main()
        output = capfd.readouterr().out
        metrics = json.loads((tmp_path / 'work' / 'metrics.json').read_text())
        assert list(metrics) == [
            *('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50'),
            *('seconds_train', 'seconds_total'),
        ]
        assert 0 < metrics['seconds_train'] < metrics['seconds_total']
        assert len(output.splitlines()) <= LONGEST_OUTPUT
        for log in (tmp_path / 'work').rglob('*.log'):
            text = log.read_text()
            assert 'System environment:' in text and 'mmvmlp.HireMLP' in text
            assert 'Average Precision  (AP) @[ IoU=0.50:0.95' in text
        named = [word.rstrip(':') for word in output.split() if str(tmp_path / 'work') in word]
        kinds = ('.html', '.json', '.png', '.pth')
        files = {Path(name) for name in named if Path(name).suffix in kinds}
        assert len(files) >= 5
        assert output.rstrip().endswith('report.html')
        for file in files:
            assert file.is_file(), file
            if file.suffix == '.png':
                assert min(cv2.imread(str(file)).shape[:2]) > 300
