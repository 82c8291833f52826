"""The trained detector in demo/: its size, what the pages say of it, and what it finds."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pages import blocks_of
from pasted import Terminal
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from safetensors import safe_open

from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.datasets.digit_scenes.layouts import FIRST_VAL_IMAGE_ID
from mmvmlp.datasets.digit_scenes.sources import attribution

CONFIG = Path('configs/mask_rcnn_hire_mlp_nano_digits.py')
DETECTOR = Path('demo') / f'{CONFIG.stem}.safetensors'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Some of the scenes on which its AP was measured."""
    folder = tmp_path_factory.mktemp('data') / 'digits'
    return make_digit_scenes(folder, train=1, val=40, progress=False)


@pytest.fixture(scope='module')
def about():
    """What the file says of itself."""
    with safe_open(DETECTOR, framework='pt') as opened:
        return opened.metadata()


def test_it_is_small():
    assert DETECTOR.stat().st_size <= 3_000_000


def test_the_page_has_its_training_and_its_ap(about):
    page = ' '.join(Path('docs/digit_scenes.md').read_text().replace('\\\n', '').split())
    assert about['config'] == CONFIG.name
    assert about['command'] in page
    data = about['command'].rpartition(' ')[2]
    assert f'mmvmlp make-digits {data} --train {json.loads(about["scenes"])["train"]}' in page
    box, mask = (100 * float(about[name]) for name in ('bbox_mAP', 'segm_mAP'))
    assert f'box AP {box:.1f} and mask AP {mask:.1f}' in page


@pytest.mark.parametrize('options', [(), ('--fuse',)], ids=' '.join)
def test_it_reaches_its_ap(tmp_path, run, scenes, about, options):
    results = tmp_path / 'metrics.json'
    run(
        *('tools/test.py', CONFIG, DETECTOR, '--data-root', scenes, *options),
        *('--work-dir', tmp_path, '--out', results),
    )
    measured = json.loads(results.read_text())
    for name in ('bbox_mAP', 'segm_mAP'):
        assert measured[f'coco/{name}'] > float(about[name]) - 0.05


def test_the_readmes_command_finds_the_digits(tmp_path, run, monkeypatch, scenes):
    _, command = blocks_of('README.md', 'sh', 'mmvmlp')
    Terminal(tmp_path, run, monkeypatch).paste(command.text)
    (image,) = json.loads(Path('predictions/predictions.json').read_text())['images']
    assert Path('predictions', image['drawing']).is_file()

    annotated = COCO(scenes / 'annotations/instances_val2017.json')
    (scene,) = annotated.loadImgs(FIRST_VAL_IMAGE_ID + 1)
    shown, generated = (
        cv2.imread(str(file)).astype(int)
        for file in ('demo/digits.jpg', scenes / 'val2017' / scene['file_name'])
    )
    assert np.abs(shown - generated).mean() < 1
    digits = annotated.loadAnns(annotated.getAnnIds(scene['id']))
    found = image['detections']
    assert len(found) == len(digits)
    assert all(entry['score'] >= 0.5 for entry in found)
    overlaps = coco_mask.iou(
        [entry['mask'] for entry in found],
        [digit['segmentation'] for digit in digits],
        [0] * len(digits),
    )
    for digit, overlap in zip(digits, overlaps.T, strict=True):
        best = overlap.argmax()
        assert overlap[best] >= 0.7
        (category,) = annotated.loadCats(digit['category_id'])
        assert found[best]['class_name'] == category['name']


def test_the_photographers_are_named_beside_the_scene():
    assert Path('demo/ATTRIBUTION.txt').read_text() == attribution()
