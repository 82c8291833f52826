"""The command that predicts, run as a user runs it, with untrained models of each toolbox."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from untrained import save_untrained

DIGITS_CONFIG = 'configs/mask_rcnn_hire_mlp_t_digits.py'

BOXES_ONLY = """
_base_ = '{base}'
model = dict(type='FasterRCNN', roi_head=dict(mask_roi_extractor=None, mask_head=None))
"""

SEGMENTOR = """
default_scope = 'mmseg'
custom_imports = dict(imports=['mmvmlp.backbones'], allow_failed_imports=False)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', test_cfg=dict(size_divisor=32)),
    backbone=dict(type='mmvmlp.HireMLP', arch='tiny', out_indices=(3,)),
    decode_head=dict(
        type='FCNHead', in_channels=512, in_index=0, channels=16, num_convs=1, num_classes=4
    ),
    test_cfg=dict(mode='whole'),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
"""

CLASSIFIER = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmvmlp.backbones'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmvmlp.HireMLP', arch='tiny', out_indices=(3,), out_norm=True),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=512, num_classes=10),
)
test_dataloader = dict(
    dataset=dict(
        type='CustomDataset',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='PackInputs'),
        ],
    )
)
"""


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """A checkpoint of the digits config that does not say its classes' names."""
    return save_untrained(DIGITS_CONFIG, tmp_path_factory.mktemp('detector') / 'model.pth')


@pytest.fixture(scope='module')
def images(tmp_path_factory, digits_folder):
    """Two folders with images of the same name, and one of another size."""
    folder = tmp_path_factory.mktemp('images')
    first, second, _ = sorted((digits_folder / 'val2017').iterdir())[:3]
    for name, image in (('a', first), ('b', second)):
        (folder / name).mkdir()
        shutil.copy(image, folder / name / 'scene.jpg')
    scene = cv2.imread(str(first))
    cv2.imwrite(str(folder / 'a' / 'wide.png'), cv2.resize(scene, (260, 130)))
    (folder / 'a' / 'notes.txt').write_text('no image')
    return folder


@pytest.fixture
def predict(run):
    return partial(run, 'tools/predict.py')


def read_predictions(folder: Path):
    contents = json.loads((folder / 'predictions.json').read_text())
    return contents, {image['path']: image for image in contents['images']}


def files_in(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def test_a_detector_gives_boxes_masks_and_drawings(predict, tmp_path, detector, images):
    predict(
        *(images / 'a', images / 'b' / '*.jpg', images / 'a' / 'scene.jpg'),
        *('--config', DIGITS_CONFIG, '--checkpoint', detector, '--out-dir', tmp_path / 'out'),
        *('--score-threshold', '0.06', '--device', 'cpu'),
    )
    contents, by_path = read_predictions(tmp_path / 'out')
    assert contents['task'] == 'detection'
    assert contents['score_threshold'] == 0.06
    names = {f'{folder}/{name}' for folder, name in (('a', 'scene.jpg'), ('b', 'scene.jpg'))}
    assert set(by_path) == {str(images / name) for name in (*names, 'a/wide.png')}
    assert files_in(tmp_path / 'out') == sorted(
        [
            *('predictions.json', 'predictions.settings.json'),
            *(image['drawing'] for image in contents['images']),
        ]
    )
    assert {image['drawing'] for image in contents['images']} == {
        'a_scene.jpg',
        'b_scene.jpg',
        'wide.jpg',
    }
    for path, image in by_path.items():
        original = cv2.imread(path)
        assert (image['height'], image['width']) == original.shape[:2]
        drawn = cv2.imread(str(tmp_path / 'out' / image['drawing']))
        # Small images are drawn enlarged by a whole number.
        factor = drawn.shape[0] // original.shape[0]
        assert drawn.shape[:2] == tuple(factor * side for side in original.shape[:2])
        enlarged = cv2.resize(original, drawn.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        assert np.abs(drawn.astype(int) - enlarged).max() > 50
        assert image['detections']
        for found in image['detections']:
            left, top, right, bottom = found['box']
            assert 0 <= left < right <= image['width']
            assert 0 <= top < bottom <= image['height']
            assert found['class_name'] == str(found['label'])
            assert 0.06 <= found['score'] <= 1
            mask = coco_mask.decode(found['mask'])
            assert mask.shape == original.shape[:2]
    assert by_path[str(images / 'a/scene.jpg')] != by_path[str(images / 'b/scene.jpg')]


def test_what_is_written_is_what_mmdet_finds_above_the_threshold(
    predict, tmp_path, detector, images
):
    from mmdet.apis import inference_detector, init_detector

    image = images / 'a' / 'scene.jpg'
    model = init_detector(DIGITS_CONFIG, str(detector), device='cpu')
    found = inference_detector(model, str(image)).pred_instances.numpy()
    # In the widest gap between two scores, so that rounding does not decide.
    kept = int(np.diff(found.scores).argmin()) + 1
    threshold = (found.scores[kept - 1] + found.scores[kept]) / 2
    found = found[:kept]
    predict(
        *(image, '--config', DIGITS_CONFIG, '--checkpoint', detector, '--out-dir', tmp_path),
        *('--score-threshold', threshold, '--device', 'cpu'),
    )
    written = read_predictions(tmp_path)[0]['images'][0]['detections']
    assert len(written) == len(found.scores) > 0
    assert [entry['label'] for entry in written] == found.labels.tolist()
    np.testing.assert_allclose([entry['score'] for entry in written], found.scores, atol=1e-4)
    np.testing.assert_allclose([entry['box'] for entry in written], found.bboxes, atol=0.05)
    masks = np.stack([coco_mask.decode(entry['mask']) for entry in written])
    assert (masks != found.masks).mean() < 1e-3


def test_a_detector_without_masks(predict, tmp_path, images):
    config = tmp_path / 'boxes.py'
    config.write_text(BOXES_ONLY.format(base=Path(DIGITS_CONFIG).resolve()))
    names = tuple(f'digit {label}' for label in range(10))
    checkpoint = save_untrained(config, tmp_path / 'model.pth', names)
    predict(
        *(images / 'b', '--config', config, '--checkpoint', checkpoint),
        *('--out-dir', tmp_path / 'out', '--score-threshold', '0.06', '--device', 'cpu'),
    )
    found = read_predictions(tmp_path / 'out')[0]['images'][0]['detections']
    assert found
    assert all('mask' not in entry for entry in found)
    # The names with which it was trained come before the config's.
    assert all(entry['class_name'] == f'digit {entry["label"]}' for entry in found)


def test_a_segmentor_gives_a_map_of_classes(predict, tmp_path, images):
    config = tmp_path / 'segmentor.py'
    config.write_text(SEGMENTOR)
    names = ('sky', 'ground', 'water', 'tree')
    checkpoint = save_untrained(config, tmp_path / 'model.pth', names)
    predict(
        *(images / 'a', '--config', config, '--checkpoint', checkpoint),
        *('--out-dir', tmp_path / 'out', '--device', 'cpu'),
    )
    contents, _ = read_predictions(tmp_path / 'out')
    assert contents['task'] == 'segmentation'
    assert len(contents['images']) == 2
    for image in contents['images']:
        size = image['height'], image['width']
        indices = cv2.imread(str(tmp_path / 'out' / image['index_map']), cv2.IMREAD_UNCHANGED)
        assert indices.shape == size
        for entry in image['classes']:
            assert entry['class_name'] == names[entry['label']]
            assert entry['pixels'] == (indices == entry['label']).sum() > 0
        assert sum(entry['pixels'] for entry in image['classes']) == size[0] * size[1]
        assert (tmp_path / 'out' / image['drawing']).is_file()

    options = ('--config', config, '--checkpoint', checkpoint, '--device', 'cpu')
    maps = tmp_path / 'maps'
    predict(images / 'a', *options, '--out-dir', maps, '--format', 'png', '--batch-size', '2')
    names = [image['index_map'] for image in contents['images']]
    assert files_in(maps) == sorted(['predictions.json', 'predictions.settings.json', *names])
    for name in names:
        assert (maps / name).read_bytes() == (tmp_path / 'out' / name).read_bytes()
    tiles = ('--tile', '96', '--tile-overlap', '32')
    predict(images / 'a/wide.png', *options, '--out-dir', tmp_path / 'tiles', *tiles)
    indices = cv2.imread(str(tmp_path / 'tiles/wide.png'), cv2.IMREAD_UNCHANGED)
    assert indices.shape == (130, 260)


def test_a_classifier_gives_its_five_best_classes(predict, tmp_path, images):
    config = tmp_path / 'classifier.py'
    config.write_text(CLASSIFIER)
    checkpoint = save_untrained(config, tmp_path / 'model.pth', tuple('abcdefghij'))
    output = predict(
        *(images / 'b', '--config', config, '--checkpoint', checkpoint),
        *('--out-dir', tmp_path / 'out', '--device', 'cpu'),
    )
    assert 'Inference' not in output, "the progress bar of mmpretrain's inferencer"
    contents, _ = read_predictions(tmp_path / 'out')
    assert contents['task'] == 'classification'
    classes = contents['images'][0]['classes']
    assert len(classes) == 5
    scores = [entry['score'] for entry in classes]
    assert scores == sorted(scores, reverse=True)
    assert all(entry['class_name'] == 'abcdefghij'[entry['label']] for entry in classes)
    assert (tmp_path / 'out' / 'scene.jpg').is_file()


def test_bad_images_do_not_stop_the_others(tmp_path, detector, images):
    """As the shell sees it; the other tests run the command within this process."""
    wide = (images / 'a' / 'wide.png').read_bytes()
    (tmp_path / 'scene.png').write_bytes(wide[:-200])
    cv2.imwrite(str(tmp_path / 'thin.png'), np.zeros((1, 10_000, 3), np.uint8))
    (tmp_path / f'{"x" * 246}.png').write_bytes(wide)
    result = subprocess.run(
        [
            *(sys.executable, 'tools/predict.py', images / 'a', tmp_path, '--workers', '2'),
            *('--config', DIGITS_CONFIG, '--checkpoint', detector, '--device', 'cpu'),
            *('--out-dir', tmp_path / 'out', '--batch-size', '2', '--fuse'),
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stderr[-6000:]
    assert result.stdout.startswith('predictions on 3 images')  # and nothing of dependencies
    lines = [line for line in result.stderr.splitlines() if 'error' in line]
    assert lines[0] == f"error: image '{tmp_path}/scene.png' is truncated"
    assert lines[1].startswith(
        f"error: image '{tmp_path}/thin.png', 10000 pixels wide and 1 high, cannot"
    )
    assert lines[2:] == ['error: 2 images could not be predicted']
    contents, by_path = read_predictions(tmp_path / 'out')
    assert len(by_path) == 3
    assert all((tmp_path / 'out' / image['drawing']).is_file() for image in by_path.values())
    assert [f'error: {failure["message"]}' for failure in contents['failures']] == lines[:2]


@pytest.fixture(scope='module')
def bad_files(tmp_path_factory, detector):
    """Mistakes of a user, by name."""
    folder = tmp_path_factory.mktemp('bad')
    (folder / 'empty').mkdir()
    (folder / 'a file').write_text('')
    (folder / 'truncated.pth').write_bytes(detector.read_bytes()[:100_000])
    torch.save({'state_dict': {'fc.weight': torch.zeros(3)}}, folder / 'other.pth')
    return folder


@pytest.mark.parametrize(
    ('image', 'options', 'expected'),
    [
        ('missing.jpg', {}, ['missing.jpg', 'no such file']),
        ('*.gif', {}, ['*.gif', 'no image matches']),
        ('empty', {}, ['empty', 'no image in it']),
        ('good', {'format': 'png'}, ["format='png'", 'no use for detection', 'parquet']),
        ('good', {'tile-overlap': '20'}, ['--tile-overlap', '--tile']),
        ('good', {'tile': '64', 'tile-overlap': '64'}, ['tile_overlap=64', '0 to 63']),
        ('good', {'ray': '127.0.0.1:1'}, ["ray='127.0.0.1:1'", 'no cluster answers']),
        ('good', {'ray': 'nowhere'}, ["ray='nowhere'", 'HOST:PORT']),
        ('good', {'ray': 'local', 'device': 'cuda:1'}, ["device='cuda:1'", "'cpu' or 'cuda'"]),
        ('good', {'ray': 'local', 'ray-actors': '0'}, ['ray_actors=0', 'at least 1']),
        ('good', {'checkpoint': 'missing.pth'}, ['missing.pth', 'does not exist']),
        ('good', {'checkpoint': 'truncated.pth'}, ['truncated.pth', 'truncated']),
        (
            'good',
            {'checkpoint': 'other.pth'},
            ['other.pth', 'is it for another config', 'fc.weight'],
        ),
        ('good', {'config': 'missing.py'}, ['missing.py', 'does not exist']),
        ('good', {'score-threshold': '30'}, ['score_threshold=30', 'from 0 to 1']),
        ('good', {'device': 'tpu'}, ["device='tpu'", "'cuda:N'"]),
        ('good', {'device': 'cuda:99'}, ["device='cuda:99'", 'PyTorch sees']),
        ('good', {'out-dir': 'a file'}, ['a file', 'not a folder']),
        ('missing.jpg', {'out-dir': 'a file', 'checkpoint': 'missing.pth'}, ['not a folder']),
    ],
)
def test_bad_input_is_one_clear_error_and_no_file(
    tmp_path, predict, detector, images, bad_files, image, options, expected
):
    good = images / 'a' / 'scene.jpg'
    settings = {
        'config': Path(DIGITS_CONFIG).resolve(),
        'checkpoint': detector,
        'out-dir': tmp_path / 'out',
        'device': 'cpu',
    }
    for name, value in options.items():
        is_file = name in ('config', 'checkpoint', 'out-dir')
        settings[name] = bad_files / value if is_file else value
    arguments = [text for name, value in settings.items() for text in (f'--{name}', value)]
    before = files_in(bad_files)
    # A good image first: nothing is written for it either.
    chosen = [good] if image == 'good' else [good, bad_files / image]
    output = predict(*chosen, *arguments, expect=1)
    assert output.count('error: ') == 1
    message = output.partition('error: ')[2]
    for part in expected:
        assert part in message
    assert not (tmp_path / 'out').exists()
    assert files_in(bad_files) == before
