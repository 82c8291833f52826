"""What is wrong in a config is found before a run, and said with the value that is expected."""

import json
import shutil
import subprocess
import sys

import cv2
import pytest

from mmvmlp.datasets.digit_scenes import make_digit_scenes
from mmvmlp.engine.config_check import check_config
from mmvmlp.engine.run_config import load_config, set_data_root

DIGITS = 'configs/mask_rcnn_hire_mlp_t_digits.py'


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    folder = tmp_path_factory.mktemp('check') / 'coco'
    return make_digit_scenes(folder, 'coco', train=4, val=2, size=96, progress=False)


@pytest.fixture(scope='module')
def ade(tmp_path_factory):
    folder = tmp_path_factory.mktemp('check') / 'ade'
    return make_digit_scenes(folder, 'ade', train=4, val=2, size=96, progress=False)


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    folder = tmp_path_factory.mktemp('check') / 'imagenet'
    return make_digit_scenes(folder, 'imagenet', train=20, val=10, progress=False)


def findings(config, data, **options):
    """Return (blocks, problem and remedy) of each finding, by blocking or not."""
    config = load_config(config, {key.replace('__', '.'): v for key, v in options.items()})
    set_data_root(config, data)
    before = config.to_dict()
    found = list(check_config(config))
    assert config.to_dict() == before
    return [(finding.blocks, f'{finding.problem} | {finding.remedy}') for finding in found]


def the_finding(*arguments, **options):
    (finding,) = findings(*arguments, **options)
    return finding


def test_nothing_is_found_where_all_is_right(coco):
    assert findings(DIGITS, coco) == []


@pytest.mark.parametrize(
    ('setting', 'value', 'named'),
    [
        ('model__roi_head__bbox_head__num_classes', 7, ['bbox_head.num_classes=7', '10 classes']),
        (
            'model__neck__in_channels',
            [64, 128, 320, 500],
            ['in_channels=[64, 128, 320, 500]', '[64, 128, 320, 512]', 'out_indices'],
        ),
        ('model__backbone__out_indices', (1, 2, 3), ['[128, 320, 512]']),
    ],
)
def test_parts_that_disagree_are_named(coco, setting, value, named):
    found = findings(DIGITS, coco, **{setting: value})
    assert all(blocks for blocks, _ in found)
    assert all(part in found[0][1] for part in named), found


def test_evaluators_of_other_annotations_are_named(coco):
    other = str(coco / 'annotations/instances_train2017.json')
    # `set_data_root` moves what lies under the config's folder, and leaves what lies elsewhere.
    found = findings(DIGITS, coco, val_evaluator__ann_file=other)
    assert all(blocks for blocks, _ in found)
    (text,) = (text for _, text in found)
    assert f'val_evaluator.ann_file={other!r}' in text
    assert str(coco / 'annotations/instances_val2017.json') in text


def test_necks_of_single_stride_networks_are_compared(coco):
    config = 'configs/mask_rcnn_resmlp_digits.py'
    blocks, text = the_finding(config, coco, model__neck__0__in_channels=96)
    assert blocks
    assert 'SimplePyramid has in_channels=96' in text
    blocks, text = the_finding(config, coco, model__neck__0__stride=16)
    assert 'stride=16' in text
    assert 'stride 8' in text
    blocks, text = the_finding(config, coco, model__neck__1__in_channels=[192] * 4)
    assert 'SimplePyramid makes [96, 192, 192, 192]' in text


def test_classes_that_the_annotations_do_not_have(coco):
    for split in ('train', 'val'):
        key = f'{split}_dataloader__dataset__metainfo__classes'
        found = findings(DIGITS, coco, **{key: ('zero', *'123456789')})
        text = ' '.join(text for _, text in found)
        assert found[0][0]
        assert 'no category zero' in text
        assert "classes=('0', '1'" in text


def test_annotations_that_are_not_there(coco, tmp_path):
    data = tmp_path / 'coco'
    shutil.copytree(coco, data)
    file = data / 'annotations/instances_train2017.json'
    content = json.loads(file.read_text())
    kept = content['images'][0]['id']
    some = [a for a in content['annotations'] if a['image_id'] == kept]
    file.write_text(json.dumps({**content, 'annotations': some}))
    options = {'train_dataloader__dataset__filter_cfg': None}
    assert the_finding(DIGITS, data, **options) == (
        False,
        'train_dataloader.dataset (CocoDataset): 3 of 4 images have no annotation | nothing, if '
        'they are meant to be empty; filter_cfg=dict(filter_empty_gt=True) else',
    )
    file.write_text(json.dumps({**content, 'annotations': []}))
    blocks, text = the_finding(DIGITS, data, **options)
    assert blocks
    assert 'none of its 4 images has an annotation' in text
    blocks, text = the_finding(DIGITS, data)
    assert blocks
    assert 'train_dataloader.dataset (CocoDataset) has no image' in text
    file.unlink()
    blocks, text = the_finding(DIGITS, data)
    assert blocks
    assert 'instances_train2017.json' in text


def test_an_image_that_cannot_be_read(coco, tmp_path):
    data = tmp_path / 'coco'
    shutil.copytree(coco, data)
    for image in (data / 'train2017').glob('*.jpg'):
        image.write_bytes(b'rubbish')
    blocks, text = the_finding(DIGITS, data)
    assert blocks
    assert 'ImageReadError' in text
    assert 'train2017' in text


def test_parameters_without_use(coco):
    found = findings(
        'configs/retinanet_hire_mlp_t.py',
        coco,
        model__backbone__out_indices=(0, 1, 2, 3),
        model__neck__in_channels=[64, 128, 320, 512],
        model__neck__start_level=1,
        model__bbox_head__num_classes=10,
        train_dataloader__dataset__metainfo={'classes': tuple('0123456789')},
        val_dataloader__dataset__metainfo={'classes': tuple('0123456789')},
        test_dataloader__dataset__metainfo={'classes': tuple('0123456789')},
        train_dataloader__dataset__pipeline__2__scale=(96, 96),
        val_dataloader__dataset__pipeline__1__scale=(96, 96),
        test_dataloader__dataset__pipeline__1__scale=(96, 96),
    )
    assert found[0][0] is False
    assert '16 images a step: 8 processes' in found[0][1]
    assert found[1][0] is True
    assert 'no gradient reaches backbone.norm0.weight, backbone.norm0.bias' in found[1][1]
    assert len(found) == 2


def own_segmentation(data, **dataset):
    """Return the options that make a segmentor's config one for data of a user's."""
    options = {
        f'{split}_dataloader__dataset': {
            'type': 'BaseSegDataset',
            'img_suffix': '.jpg',
            'seg_map_suffix': '.png',
            'metainfo': {'classes': tuple('0123456789')},
            'reduce_zero_label': True,
            **dataset,
        }
        for split in ('train', 'val', 'test')
    }
    return {
        **options,
        'model__decode_head__num_classes': 10,
        'model__auxiliary_head__num_classes': 10,
        'auto_scale_lr__base_batch_size': 4,
        'model__data_preprocessor__size': (64, 64),
        'train_dataloader__dataset__pipeline__2__scale': (96, 96),
        'train_dataloader__dataset__pipeline__3__crop_size': (64, 64),
    }


def test_values_of_masks(ade, tmp_path):
    config = 'configs/upernet_hire_mlp_t.py'
    assert findings(config, ade, **own_segmentation(ade)) == []
    found = findings(config, ade, **own_segmentation(ade, reduce_zero_label=False))
    assert found[0][0]
    assert 'values 0 to 10, one more than there are classes' in found[0][1]
    assert 'reduce_zero_label=True' in found[0][1]
    data = tmp_path / 'ade'
    shutil.copytree(ade, data)
    masks = sorted((data / 'annotations/training').glob('*.png'))
    for mask in masks:
        values = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED) % 10
        values[0, :10] = range(10)
        cv2.imwrite(str(mask), values)
    (finding,) = findings(config, data, **own_segmentation(data))
    assert finding[0] is False
    assert 'values 0 to 9, as if 0 were a class' in finding[1]
    for mask in masks:
        cv2.imwrite(str(mask), cv2.imread(str(mask), cv2.IMREAD_UNCHANGED) * 20)
    found = findings(config, data, **own_segmentation(data))
    assert found[0][0]
    assert '10 classes are 1 to 10' in found[0][1]
    assert len(found) == 1


def test_classes_of_a_classifier(imagenet):
    config = 'configs/classify_hire_mlp_t.py'
    options = {
        f'{split}_dataloader__dataset': {
            'type': 'CustomDataset',
            'data_prefix': split,
            '_delete_': True,
            'data_root': 'data/imagenet/',
            'with_label': True,
            'pipeline': [
                {'type': 'mmvmlp.LoadImageFromFile'},
                {'type': 'Resize', 'scale': 64},
                {'type': 'PackInputs'},
            ],
        }
        for split in ('train', 'val')
    }
    options['test_dataloader__dataset'] = options['val_dataloader__dataset']
    found = findings(config, imagenet, **options)
    assert [blocks for blocks, _ in found] == [False, True, True, True, True]
    assert 'model.head.num_classes=1000, but train_dataloader.dataset has 10 classes' in found[1][1]
    # Mixup makes vectors of so many classes.
    assert 'model.data_preprocessor.num_classes=1000' in found[2][1]
    options.update(model__head__num_classes=10, data_preprocessor__num_classes=10)
    (finding,) = findings(config, imagenet, **options)
    assert finding[0] is False


def test_the_command_prints_remedies_and_exits_with_1(coco):
    def run(*options):
        return subprocess.run(
            [sys.executable, 'tools/check_config.py', DIGITS, '--data-root', coco, *options],
            capture_output=True,
            text=True,
        )

    good = run()
    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines()[-1] == 'Nothing would go wrong.'
    bad = run('--cfg-options', 'model.roi_head.mask_head.num_classes=3')
    assert bad.returncode == 1
    assert 'error: model.roi_head.mask_head.num_classes=3, but train' in bad.stdout
    assert '  remedy: num_classes=10' in bad.stdout
