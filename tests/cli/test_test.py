"""The command that tests: what it draws, writes and refuses, for configs of each toolbox."""

import json
import sys

import cv2
import pytest
from untrained import save_untrained

from mmvmlp.cli import test
from mmvmlp.datasets.digit_scenes import make_digit_scenes

SMALL = {
    'coco': {'size': 96},
    'ade': {'size': 96},
    'imagenet': {'size': 32},
}
CONFIGS = {
    'coco': 'configs/mask_rcnn_hire_mlp_t_digits.py',
    'ade': 'configs/upernet_hire_mlp_t_digits.py',
    'imagenet': 'configs/classify_hire_mlp_t_digits.py',
}


def run_test(monkeypatch, *arguments):
    """Run the command within this process."""
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments)])
    assert test.main() == 0


@pytest.mark.parametrize('layout', CONFIGS)
def test_every_prediction_is_drawn(tmp_path, monkeypatch, layout):
    config = CONFIGS[layout]
    data = make_digit_scenes(
        tmp_path / 'data', layout, train=1, val=3, progress=False, **SMALL[layout]
    )
    checkpoint = save_untrained(config, tmp_path / 'model.pth')
    work_dir, results = tmp_path / 'work', tmp_path / 'new folder' / 'metrics.json'
    run_test(
        *(monkeypatch, config, checkpoint, '--work-dir', work_dir, '--data-root', data),
        *('--show-dir', 'drawn', '--out', results),
    )
    assert json.loads(results.read_text())
    drawn = sorted((work_dir / 'drawn').iterdir())
    assert len(drawn) == 3
    for image in drawn:
        assert min(cv2.imread(str(image)).shape[:2]) >= 96


def test_out_and_checkpoint_are_looked_at_first(tmp_path, monkeypatch, capsys):
    """Before the data, which are not there."""
    file, checkpoint = tmp_path / 'file', tmp_path / 'model.pth'
    file.touch()
    command = (monkeypatch, CONFIGS['coco'], checkpoint, '--data-root', tmp_path / 'nowhere')
    for options, expected in (
        (('--out', tmp_path), f"--out '{tmp_path}' is there and is not a file"),
        (('--out', file / 'metrics.json'), f'{str(file)!r} is not a folder'),
        (('--work-dir', file), f'work_dir {str(file)!r}'),
        (('--out', tmp_path / 'new' / 'metrics.json'), f'checkpoint {str(checkpoint)!r}: there'),
    ):
        with pytest.raises(SystemExit) as exited:
            run_test(*command, *options)
        assert exited.value.code == 1
        error = capsys.readouterr().err
        assert error.count('error: ') == 1
        assert expected in error
    checkpoint.touch()
    with pytest.raises(SystemExit):
        run_test(*command, '--out', tmp_path / 'new' / 'metrics.json')
    assert 'data set folder' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'model.pth']


def test_a_config_option_without_a_value_is_a_usage_error(monkeypatch, capsys):
    for option, expected in (
        ('nope', "'nope': KEY=VALUE is accepted"),
        ('model.x=[(1,2],3', 'Imbalanced brackets'),
    ):
        with pytest.raises(SystemExit) as exited:
            run_test(monkeypatch, CONFIGS['coco'], 'model.pth', '--cfg-options', option)
        assert exited.value.code == 2
        assert f'error: argument --cfg-options: {expected}' in capsys.readouterr().err
