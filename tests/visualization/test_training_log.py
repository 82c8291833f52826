"""mmengine's log of a run, whole, resumed or cut off, on one axis of iterations."""

import json

import matplotlib.pyplot
import numpy as np
import pytest
from PIL import Image

from mmvmlp.visualization.training_curves import draw_training_curves, smooth
from mmvmlp.visualization.training_log import read_training_log


def train_line(step, per_epoch=None):
    epoch = {} if per_epoch is None else {'epoch': (step - 1) // per_epoch + 1}
    return {
        'loss': 10 / step,
        'loss_mask': 5 / step,
        'lr': 1e-3,
        **epoch,
        'iter': step,
        'step': step,
    }


def val_line(step, ap):
    return {'coco/bbox_mAP': ap, 'coco/segm_mAP': ap / 2, 'data_time': 0.1, 'step': step}


def epochs(first, last, per_epoch=110, interval=50):
    """The log of some epochs as mmengine writes it: no line at the end of an epoch."""
    for epoch in range(first, last + 1):
        for inner in range(interval, per_epoch + 1, interval):
            yield train_line((epoch - 1) * per_epoch + inner, per_epoch)
        yield val_line(epoch, epoch / 10)


def write(file, lines, tail=''):
    file.write_text(''.join(json.dumps(line) + '\n' for line in lines) + tail)
    return file


def test_validations_by_epoch_are_placed_at_the_end_of_their_epoch(tmp_path):
    log = read_training_log(write(tmp_path / 'scalars.json', epochs(1, 3)))
    assert log.metrics['coco/bbox_mAP'].tolist() == [[110, 0.1], [220, 0.2], [330, 0.3]]
    assert log.losses['loss'][:3, 0].tolist() == [50, 100, 160]
    assert set(log.losses) == {'loss', 'loss_mask'}


def test_validations_by_iteration_stay_where_they_are(tmp_path):
    lines = [train_line(50), train_line(100), val_line(100, 0.4)]
    log = read_training_log(write(tmp_path / 'scalars.json', lines))
    assert log.metrics['coco/segm_mAP'].tolist() == [[100, 0.2]]


def test_a_resumption_replaces_what_it_repeats(tmp_path):
    first = write(tmp_path / 'first.json', epochs(1, 3), tail='{"loss": 1.0, "st')
    second = write(tmp_path / 'second.json', [*epochs(3, 5)])
    log = read_training_log(first, second)
    steps = log.metrics['coco/bbox_mAP'][:, 0]
    assert steps.tolist() == [110, 220, 330, 440, 550]
    assert len(np.unique(log.losses['loss'][:, 0])) == len(log.losses['loss']) == 10


def test_curves_are_drawn_and_pyplot_is_left_alone(tmp_path):
    scalars = write(tmp_path / 'scalars.json', epochs(1, 4))
    backend = matplotlib.get_backend()
    draw_training_curves(scalars, tmp_path / 'curves.png')
    image = np.asarray(Image.open(tmp_path / 'curves.png').convert('RGB'))
    assert image.shape[1] > 1000
    assert image.std() > 10
    assert matplotlib.pyplot.get_fignums() == []
    assert matplotlib.get_backend() == backend
    assert sorted(path.name for path in tmp_path.iterdir()) == ['curves.png', 'scalars.json']


def test_curves_of_a_run_before_its_first_validation(tmp_path):
    draw_training_curves(write(tmp_path / 's.json', [train_line(20)]), tmp_path / 'curves.png')
    assert Image.open(tmp_path / 'curves.png').width > 500


@pytest.mark.parametrize(
    ('contents', 'error', 'message'),
    [(None, FileNotFoundError, 'no such file'), ('[1]\n{}\n', ValueError, 'no losses')],
)
def test_no_log_is_an_error_that_names_it(tmp_path, contents, error, message):
    file = tmp_path / 'scalars.json'
    if contents is not None:
        file.write_text(contents)
    with pytest.raises(error, match=rf'scalars\.json.*{message}'):
        draw_training_curves(file, tmp_path / 'curves.png')
    assert not (tmp_path / 'curves.png').exists()


def test_smoothing_keeps_a_straight_line_and_flattens_noise():
    line = np.linspace(3, 1, 40)
    np.testing.assert_allclose(smooth(line, 9), line)
    noise = np.random.default_rng(0).normal(size=400)
    assert smooth(noise, 21)[20:-20].std() < 0.4
    assert smooth(np.array([2.0]), 1).tolist() == [2.0]
