"""Reports of real trainings of a few iterations: what is on the page, and what it needs."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.config.settings import (
    build_runner,
    set_durable_training,
    set_log,
    set_strict_checkpoints,
    set_work_dir,
)
from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.report.page import LARGEST
from mmvmlp.report.runs import differences, read_runs

DETECTOR = 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors'
CHANNELS = [16, 16, 16, 16]
SMALL = {'model.backbone.arch': {'_delete_': True, 'depths': (1,) * 4, 'channels': tuple(CHANNELS)}}
CURVES = {'Learning rate', 'Time of an iteration', 'Time waiting for data', 'Norm of the gradient'}
OF_DETECTORS = {
    *('Box AP by class', 'Box precision and recall', 'Mask AP by class'),
    *('Mask precision and recall', 'Errors', 'Confusions: boxes with score ≥ 0.3, IoU ≥ 0.5'),
}


def train(config, data, folder, **options):
    every_line = {'default_hooks.logger.interval': 1, 'randomness.seed': 0}
    config = load_config(f'configs/{config}', {**every_line, **options})
    set_work_dir(config, str(folder))
    set_log(config)
    set_durable_training(config)
    set_strict_checkpoints(config)
    set_data_root(config, data)
    build_runner(config).train()
    return folder


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    data = make_digit_scenes(folder / 'digits', train=8, val=4, progress=False)
    return train(
        'mask_rcnn_hire_mlp_nano_digits.py',
        data,
        folder / 'detector',
        **{
            'load_from': DETECTOR,
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 1,
            'train_dataloader.batch_size': 4,
            'optim_wrapper.optimizer.lr': 1e-5,
        },
    )


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    data = make_digit_scenes(folder / 'ade', 'ade', train=4, val=3, size=96, progress=False)
    return train(
        'upernet_hire_mlp_t_digits.py',
        data,
        folder / 'segmentor',
        **{
            **SMALL,
            'model.decode_head.in_channels': CHANNELS,
            'model.auxiliary_head.in_channels': CHANNELS[2],
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'train_dataloader.batch_size': 2,
            'default_hooks.checkpoint.interval': 2,
        },
    )


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    data = make_digit_scenes(
        folder / 'classes', 'imagenet', train=20, val=10, size=32, progress=False
    )
    return train(
        'classify_hire_mlp_t_digits.py',
        data,
        folder / 'classifier',
        **{**SMALL, 'model.head.in_channels': CHANNELS[-1], 'train_cfg.max_epochs': 2},
    )


class Page(HTMLParser):
    """What a browser would make of a report."""

    def __init__(self, file):
        super().__init__()
        self.text, self.figures, self.addresses, self.ids, self.open = '', [], [], [], []
        self.rows = {}
        self.images = []
        self.bytes = file.stat().st_size
        self.content = file.read_text(encoding='utf-8')
        self.feed(self.content)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == 'svg':
            self.figures.append(given['aria-label'])
        if tag == 'img':
            self.images.append(given['src'])
        if tag == 'tr':
            self.row = []
        self.addresses += [given[name] for name in ('src', 'href', 'xlink:href') if name in given]
        self.ids += [given['id']] if 'id' in given else []
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open.pop() != tag:
            pass
        if tag == 'tr' and self.row:
            self.rows.setdefault(self.row[0], self.row[1:])

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ('td', 'th'):
            self.row.append(data)


def check_page(file):
    page = Page(file)
    assert page.bytes < LARGEST
    local = [each for each in page.addresses if each.startswith(('#', 'data:'))]
    assert local == page.addresses
    assert {each[1:] for each in local if each.startswith('#')} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(
        r'url\((?!#)|@import|<script|<link(?! rel="icon" href="data:,")', page.content
    )
    # Both colour schemes.
    style = page.content.partition('</style>')[0]
    light, dark = style.split('@media (prefers-color-scheme: dark)')
    for name in set(re.findall(r'var\((--[\w-]+)\)', page.content)):
        assert f'{name}:' in light and f'{name}:' in dark
    assert not re.search(r'(fill|stroke): #(?!f)', page.content)
    return page


def test_a_detector(detector, run):
    file = detector / 'report.html'
    printed = run('tools/report.py', detector)
    assert f'{detector}: epoch_2.pth on 4 of 4 validation images\n{file}: the report\n' in printed
    page = check_page(file)
    assert {*page.figures} == {*CURVES, *OF_DETECTORS, 'Losses', 'Validation'}
    assert page.rows['trained'] == ['epoch 2 of 2']
    # As mmdet computed them when it validated the same checkpoint; it rounds to three decimals.
    (scalars,) = detector.glob('*/vis_data/scalars.json')
    logged = json.loads(scalars.read_text().splitlines()[-1])
    for kind, name in (('box', 'bbox'), ('mask', 'segm')):
        for ours, theirs in (('AP', 'mAP'), ('AP50', 'mAP_50'), ('AP75', 'mAP_75')):
            (value,) = page.rows[f'evaluated here: {kind} {ours}']
            assert float(value) == pytest.approx(logged[f'coco/{name}_{theirs}'], abs=6e-4)
    assert float(page.rows['evaluated here: box AP'][0]) > 0.3
    # Four images, each with the ground truth and the prediction, none twice.
    assert len(page.images) == 8
    assert set(page.rows) >= {'PyTorch', 'Python', 'train: batch size', *'0123456789'}


def test_three_trainings_of_which_two_have_no_checkpoint(detector, tmp_path, run):
    others = [tmp_path / name for name in ('faster', '<i>$odd$ & "name"')]
    for other, rate in zip(others, ('1e-3', '1e-4'), strict=True):
        shutil.copytree(detector, other, ignore=shutil.ignore_patterns('*.pth', 'last_checkpoint'))
        (config,) = other.glob('*/vis_data/config.py')
        config.write_text(config.read_text().replace('lr=1e-05', f'lr={rate}'))
    # One that still runs, with half a line.
    (scalars,) = others[1].glob('*/vis_data/scalars.json')
    scalars.write_text(''.join(scalars.read_text().splitlines(True)[:2]) + '{"loss": 1.0, "st')
    file = tmp_path / 'new' / 'compared.html'
    printed = run('tools/report.py', detector, *others, '--out', file, '--images', 2)
    assert printed.count('has no checkpoint yet') == 2
    page = check_page(file)
    assert {*page.figures} >= {*CURVES, *OF_DETECTORS, 'Loss', 'Validation: box AP'}
    assert page.rows['optim_wrapper.optimizer.lr'] == ['1e-05', '0.001', '0.0001']
    assert set(differences(read_runs([detector, *others]))) == {'optim_wrapper.optimizer.lr'}
    assert '2 of 4 validation images' in page.text
    assert '<i>$odd$ & "name"' in page.text


def test_a_segmentor(segmentor, run):
    run('tools/report.py', segmentor)
    page = check_page(segmentor / 'report.html')
    assert {*page.figures} == {
        *(*CURVES, 'Losses', 'Validation', 'IoU by class', 'Confusions: pixels'),
    }
    (scalars,) = segmentor.glob('*/vis_data/scalars.json')
    logged = json.loads(scalars.read_text().splitlines()[-1])
    for name in ('mIoU', 'mAcc', 'aAcc'):
        (value,) = page.rows[f'evaluated here: {name} (%)']
        assert float(value) == pytest.approx(logged[name], abs=6e-3)
    assert len(page.images) == 6


def test_a_classifier(classifier, run):
    run('tools/report.py', classifier)
    page = check_page(classifier / 'report.html')
    assert {*page.figures} == {
        *(*CURVES, 'Losses', 'Validation', 'Accuracy by class', 'Confusions: images'),
    }
    (scalars,) = classifier.glob('*/vis_data/scalars.json')
    logged = json.loads(scalars.read_text().splitlines()[-1])
    (value,) = page.rows['evaluated here: accuracy (%)']
    assert float(value) == pytest.approx(logged['accuracy/top1'], abs=1e-3)


def test_a_training_that_began_anew_replaces_what_was_there(detector, tmp_path):
    folder = shutil.copytree(detector, tmp_path / 'work')
    (start,) = folder.glob('2*')
    later = shutil.copytree(start, folder / '29991231_235959')
    (later / start.with_suffix('.log').name).rename(later / '29991231_235959.log')
    (again,) = read_runs([folder])
    (before,) = read_runs([detector])
    assert again.started.year == 2999
    assert again.iterations == before.iterations == 4
    assert again.environment == before.environment != {}
    # One that ended early logged its first line at another step.
    scalars = later / 'vis_data/scalars.json'
    first, *others = scalars.read_text().splitlines(keepends=True)
    assert '"loss":' in first
    scalars.write_text(''.join(others))
    assert read_runs([folder])[0].started.year == 2999
    with (later / '29991231_235959.log').open('a') as log:
        log.write('INFO - resumed epoch: 1, iter: 2\n')
    (resumed,) = read_runs([folder])
    assert resumed.started == before.started
    assert resumed.iterations == before.iterations


def test_data_that_were_moved(detector, tmp_path, run):
    moved = tmp_path / 'moved'
    (config,) = detector.glob('*/vis_data/config.py')
    text = config.read_text()
    data = detector.parent / 'digits'
    try:
        config.write_text(text.replace(str(data), str(tmp_path / 'gone')))
        printed = run('tools/report.py', detector, '--out', tmp_path / 'report.html')
        assert f'Not evaluated: data set folder {str(tmp_path / "gone")!r}' in printed.replace(
            "/'", "'"
        )
        shutil.copytree(data, moved)
        printed = run(
            *('tools/report.py', detector, '--out', tmp_path / 'report.html'),
            *('--data-root', moved, '--images', 1),
        )
        assert '1 of 4 validation images' in printed
    finally:
        config.write_text(text)


@pytest.mark.parametrize(
    ('folders', 'options', 'message'),
    [
        (['missing'], [], "work folder '{0}/missing': there is no such folder"),
        (['empty'], [], "work folder '{0}/empty' has no */vis_data/scalars.json with losses"),
        (['empty', 'empty'], [], "work folder '{0}/empty' is named more than once"),
        (['empty'], ['--images', '-1'], 'images=-1: 0 and more are accepted'),
        (['empty'], ['--out', '{0}/empty'], "'{0}/empty' exists and is not a file"),
    ],
)
def test_what_is_refused(folders, options, message, tmp_path, run):
    (tmp_path / 'empty').mkdir()
    printed = run(
        'tools/report.py',
        *(tmp_path / folder for folder in folders),
        *(option.format(tmp_path) for option in options),
        expect=1,
    )
    assert message.format(tmp_path) in printed
    assert printed.startswith('error: ') and len(printed.splitlines()) == 1
    assert not list(tmp_path.rglob('*.html'))
