"""Problems of a config are found before a run, with the expected value."""

import json
import os
import runpy
import shutil
import sys

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmvmlp.backbones import FeatureInfo, HireMLP
from mmvmlp.config.check import ConfigCheck
from mmvmlp.config.check import annotations as annotations_module
from mmvmlp.config.check.data_sets import records
from mmvmlp.config.loading import load_config, set_data_root
from mmvmlp.datasets.digit_scenes import make_digit_scenes

DIGITS = 'configs/mask_rcnn_hire_mlp_t_digits.py'
TRAINING_ANNOTATIONS = 'annotations/instances_train2017.json'
VALIDATION_ANNOTATIONS = 'annotations/instances_val2017.json'


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


@pytest.fixture
def own_coco(coco, tmp_path):
    """Data that a test may damage."""
    return shutil.copytree(coco, tmp_path / 'coco')


def findings(config, data, **options):
    """Return each finding as (blocks, problem and fix)."""
    # The warm-up of the configs is too long for four images.
    options.setdefault('param_scheduler__0__end', 1)
    config = load_config(config, {key.replace('__', '.'): v for key, v in options.items()})
    set_data_root(config, data)
    before = config.to_dict()
    found = list(ConfigCheck(config).findings())
    assert config.to_dict() == before
    return [(finding.blocks, f'{finding.problem} | {finding.fix}') for finding in found]


def single_finding(*arguments, **options):
    (finding,) = findings(*arguments, **options)
    return finding


def errors(count, *arguments, **options):
    """Return the texts of the findings, which must all be errors."""
    found = findings(*arguments, **options)
    assert [blocks for blocks, _ in found] == [True] * count, found
    return [text for _, text in found]


def edit_json(file, change):
    """Change the content of a JSON file in place."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_valid_config_has_no_findings(coco):
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
def test_mismatched_parts_are_named(coco, setting, value, named):
    found = findings(DIGITS, coco, **{setting: value})
    assert all(blocks for blocks, _ in found)
    assert all(part in found[0][1] for part in named), found


def test_evaluators_with_different_annotations_are_named(coco):
    other = str(coco / 'annotations/instances_train2017.json')
    # `set_data_root` leaves paths outside the config's folder alone.
    found = findings(DIGITS, coco, val_evaluator__ann_file=other)
    assert all(blocks for blocks, _ in found)
    (text,) = (text for _, text in found)
    assert f'val_evaluator.ann_file={other!r}' in text
    assert str(coco / 'annotations/instances_val2017.json') in text


def test_necks_of_single_stride_networks_are_compared(coco):
    config = 'configs/mask_rcnn_resmlp_digits.py'
    blocks, text = single_finding(config, coco, model__neck__0__in_channels=96)
    assert blocks
    assert 'SimplePyramid has in_channels=96' in text
    blocks, text = single_finding(config, coco, model__neck__0__stride=16)
    assert 'stride=16' in text
    assert 'stride 8' in text
    blocks, text = single_finding(config, coco, model__neck__1__in_channels=[192] * 4)
    assert 'SimplePyramid makes [96, 192, 192, 192]' in text


def test_necks_of_networks_of_two_strides_are_compared(coco):
    config = 'configs/mask_rcnn_s2_mlp_v2_digits.py'
    assert findings(config, coco) == []
    blocks, text = single_finding(config, coco, model__neck__0__stride=[7, 14])
    assert blocks
    assert 'stride=[7, 14]' in text
    assert 'stride [4, 8]' in text


def test_classes_missing_in_the_annotations(coco):
    for split in ('train', 'val'):
        key = f'{split}_dataloader__dataset__metainfo__classes'
        found = findings(DIGITS, coco, **{key: ('zero', *'123456789')})
        text = ' '.join(text for _, text in found)
        assert found[0][0]
        assert 'no category zero' in text
        assert "classes=('0', '1'" in text


def test_missing_annotations(own_coco):
    data = own_coco
    file = data / TRAINING_ANNOTATIONS
    content = json.loads(file.read_text())
    kept = content['images'][0]['id']
    some = [a for a in content['annotations'] if a['image_id'] == kept]
    file.write_text(json.dumps({**content, 'annotations': some}))
    options = {'train_dataloader__dataset__filter_cfg': None}
    assert single_finding(DIGITS, data, **options) == (
        False,
        'train_dataloader.dataset (CocoDataset): 3 of 4 images have no annotation | none needed if '
        'this is intended; otherwise filter_cfg=dict(filter_empty_gt=True)',
    )
    file.write_text(json.dumps({**content, 'annotations': []}))
    blocks, text = single_finding(DIGITS, data, **options)
    assert blocks
    assert 'none of its 4 images has an annotation' in text
    blocks, text = single_finding(DIGITS, data)
    assert blocks
    assert 'train_dataloader.dataset (CocoDataset) has no images' in text
    file.unlink()
    blocks, text = single_finding(DIGITS, data)
    assert blocks
    assert 'instances_train2017.json' in text


def test_unreadable_images(own_coco):
    train, val = (sorted((own_coco / f'{split}2017').iterdir()) for split in ('train', 'val'))
    train[3].unlink()
    content = val[0].read_bytes()
    val[0].write_bytes(content[: len(content) // 2])
    val[1].write_bytes(b'')
    missing, damaged = errors(2, DIGITS, own_coco)
    assert f'1 of 4 images do not exist: {train[3]}' in missing
    assert f'images cannot be read: {val[0]} (' in damaged
    assert f'{val[1]} (' in damaged


def test_truncated_images_are_found_with_any_loader(own_coco):
    loader = {
        f'{split}_dataloader__dataset__pipeline__0__type': 'LoadImageFromFile'
        for split in ('train', 'val', 'test')
    }
    assert findings(DIGITS, own_coco, **loader) == []
    path = sorted((own_coco / 'train2017').iterdir())[3]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (text,) = errors(1, DIGITS, own_coco, **loader)
    assert f'images cannot be read: {path} (' in text


def test_unusable_annotations(own_coco):
    def break_training(content):
        first, second, third, fourth = content['images']
        first['width'] = 90
        content['images'].append({**second, 'id': fourth['id']})
        for image, polygon in ((second, [1, 1, 9, 9]), (third, [1, 1, 9, 1, 9, 9, 1])):
            of_image = (a for a in content['annotations'] if a['image_id'] == image['id'])
            next(of_image)['segmentation'] = [polygon]

    def break_validation(content):
        for annotation in content['annotations']:
            annotation['iscrowd'] = 1

    edit_json(own_coco / TRAINING_ANNOTATIONS, break_training)
    edit_json(own_coco / VALIDATION_ANNOTATIONS, break_validation)
    repeated, polygons, sizes, crowds = errors(4, DIGITS, own_coco)
    assert 'same id' in repeated and repeated.endswith('| a unique id for each image')
    assert '2 of 4 images have objects without a valid polygon' in polygons
    assert 'is 96 x 96, annotated as 90 x 96' in sizes
    assert 'val_dataloader' in crowds and 'all annotations of its 2 images have iscrowd=1' in crowds


def test_polygons_matter_only_where_masks_are_learned(own_coco):
    def break_polygons(content):
        content['annotations'][0]['segmentation'] = [[1, 1, 9, 9]]

    edit_json(own_coco / TRAINING_ANNOTATIONS, break_polygons)
    boxes = {'train_dataloader__dataset__pipeline__1__with_mask': False}
    assert 'polygon' in errors(1, DIGITS, own_coco)[0]
    found = findings(DIGITS, own_coco, **boxes)
    assert not any('polygon' in text for _, text in found)


def test_masks_in_rle_need_another_option_than_polygons(coco):
    as_polygons = {'train_dataloader__dataset__pipeline__1__poly2mask': False}
    assert not findings(DIGITS, coco)
    (text,) = (text for _, text in findings(DIGITS, coco, **as_polygons) if 'RLE' in text)
    assert '4 of 4 images have masks in RLE, which mmdet silently drops' in text
    assert text.endswith('| poly2mask=True in every LoadAnnotations of the config')


def test_classes_in_a_different_order_from_the_categories(coco):
    metainfo = {
        f'{split}_dataloader__dataset__metainfo__classes': tuple('9876543210')
        for split in ('train', 'val', 'test')
    }
    for text in errors(2, DIGITS, coco, **metainfo):
        assert 'the order of classes differs from that of the categories' in text
        assert text.endswith(f'| metainfo=dict(classes={tuple("0123456789")!r})')


def test_run_that_cannot_be_built(coco):
    (loader,) = errors(1, DIGITS, coco, train_dataloader__batch_size=0)
    assert 'train_dataloader cannot be built' in loader and 'batch_size' in loader
    (text,) = errors(1, DIGITS, coco, train_cfg__max_epoch=1)
    assert 'train_cfg' in text and "'max_epoch'" in text
    texts = errors(
        5,
        DIGITS,
        coco,
        custom_hooks=[{'type': 'NoHook'}],
        default_hooks__logger__intervall=3,
        visualizer__type='NoVisualizer',
        val_evaluator__metric='box',
        param_scheduler__0__type='NoSchedule',
    )
    for text, named in zip(
        texts,
        (
            ('default_hooks.logger', "'intervall'"),
            ('custom_hooks.0', 'NoHook'),
            ('visualizer.type', 'NoVisualizer'),
            ('val_evaluator', 'box'),
            ('param_scheduler', 'NoSchedule'),
        ),
        strict=True,
    ):
        assert all(part in text for part in named)


def test_missing_settings(coco):
    (text,) = errors(1, DIGITS, coco, train_dataloader=None)
    assert 'train_cfg and optim_wrapper are set, but train_dataloader is not' in text
    (text,) = errors(1, DIGITS, coco, optim_wrapper=None)
    assert 'train_dataloader and train_cfg are set, but optim_wrapper is not' in text
    training = {'train_dataloader': None, 'train_cfg': None, 'optim_wrapper': None}
    config = load_config(DIGITS, {**training, 'param_scheduler': None})
    set_data_root(config, coco)
    check = ConfigCheck(config)
    (finding,) = check.findings()
    assert not finding.blocks
    assert 'the config cannot be trained' in finding.problem
    assert check.examined == ['2 of 2 validation images decoded']


def test_settings_of_wrong_type(coco):
    config = load_config(DIGITS)
    set_data_root(config, coco)
    config.merge_from_dict({'train_cfg': 3, 'val_evaluator': ['CocoMetric']})
    first, second = ConfigCheck(config).findings()
    assert first.problem == 'train_cfg=3: a dict is accepted'
    assert second.problem == "val_evaluator=['CocoMetric']: a dict or a list of them is accepted"


def test_unknown_types_of_models_and_data(coco):
    config = load_config(DIGITS)
    set_data_root(config, coco)
    config.pop('model')
    (finding,) = ConfigCheck(config).findings()
    assert finding.blocks and finding.problem == 'model is not set'
    (text,) = errors(1, DIGITS, coco, model__type='NoModel')
    assert 'model cannot be built' in text and 'NoModel' in text
    (text,) = errors(1, DIGITS, coco, model__backbone__type='mmvmlp.NoMLP')
    assert "'mmvmlp.NoMLP'; for a backbone of your own, @MODELS.register" in text
    (text,) = errors(1, DIGITS, coco, train_dataloader__dataset__type='NoData')
    assert 'train_dataloader cannot be built' in text and 'NoData' in text


def test_check_writes_no_files(coco, tmp_path, monkeypatch):
    config = load_config(os.path.abspath(DIGITS), {'param_scheduler.0.end': 1})
    set_data_root(config, coco)
    config.visualizer['save_dir'] = str(tmp_path / 'drawn')
    config.default_hooks.checkpoint['out_dir'] = str(tmp_path / 'checkpoints')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    assert list(ConfigCheck(config).findings()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('end', 'message'),
    [
        (1, 'ends at 1 of 4 iterations, and the rate stays'),
        (8, 'ends at 8 of 4 iterations: the training ends before it'),
    ],
)
def test_the_schedule_is_compared_with_the_training(end, message, coco):
    blocks, text = single_finding(
        DIGITS,
        coco,
        train_cfg__max_epochs=4,
        param_scheduler__0__end=1,
        param_scheduler__1__end=end,
    )
    assert not blocks
    assert message in text
    assert text.endswith('| param_scheduler.1.end=4')


@pytest.mark.parametrize(
    'stated', [FeatureInfo(channels=320, stride=32), FeatureInfo(channels=160, stride=16)], ids=str
)
def test_feature_maps_are_compared_with_what_the_backbone_states(stated, coco, monkeypatch):
    levels = HireMLP.levels

    def wrong_levels(backbone):
        return (*levels(backbone)[:2], stated, levels(backbone)[3])

    monkeypatch.setattr(HireMLP, 'levels', wrong_levels)
    (text,) = errors(
        1,
        DIGITS,
        coco,
        param_scheduler__0__end=1,
        model__backbone__out_norm=False,
        model__neck__in_channels=[64, 128, stated.channels, 512],
    )
    assert 'map 2 has the shape (320,' in text
    assert f'levels() states {stated}' in text


def test_warm_up_is_compared_with_the_training(coco):
    blocks, text = single_finding(DIGITS, coco, param_scheduler__0__end=3)
    assert not blocks
    assert 'warms up for 3 of 4 iterations' in text
    (text,) = errors(1, DIGITS, coco, param_scheduler__0__end=500)
    assert 'param_scheduler.0: the learning rate warms up for 500 of 4 iterations' in text
    assert text.endswith('| param_scheduler.0.end=1')
    longer = {'train_cfg__max_epochs': 40, 'param_scheduler__1__end': 40}
    (text,) = errors(1, DIGITS, coco, **longer, param_scheduler__0__end=500)
    assert text.endswith('| param_scheduler.0.end=4')


def test_renamed_folders(own_coco):
    (own_coco / 'train2017').rename(own_coco / 'training')
    (text,) = errors(1, DIGITS, own_coco)
    assert "data_prefix=dict(img='train2017/')" in text
    assert 'the folders in' in text and 'training' in text and 'val2017' in text
    assert text.endswith("| data_prefix=dict(img='training/')")
    images = own_coco / 'training/images'
    images.mkdir()
    for image in (own_coco / 'training').glob('*.jpg'):
        image.rename(images / image.name)
    (text,) = errors(1, DIGITS, own_coco, train_dataloader__dataset__data_prefix__img='training/')
    assert '4 of 4 images do not exist' in text
    assert text.endswith("| data_prefix=dict(img='training/images/')")


def test_images_with_a_different_suffix_from_the_annotations(own_coco):
    for image in (own_coco / 'train2017').iterdir():
        image.rename(image.with_suffix('.png'))
    (text,) = errors(1, DIGITS, own_coco)
    assert "data_prefix=dict(img='train2017/')" in text
    assert "file names ending in '.png'" in text


def test_missing_packages(coco, monkeypatch):
    @DATASETS.register_module(name='NeedsAPackage', force=True)
    class NeedsAPackage(BaseDataset):
        def full_init(self):
            import no_such_package  # noqa: F401

    settings = {'type': 'mmengine.NeedsAPackage', '_delete_': True}
    loaders = {f'{split}_dataloader__dataset': settings for split in ('train', 'val', 'test')}
    (text,) = errors(1, DIGITS, coco, **loaders)
    assert "package 'no_such_package', which is not installed" in text
    assert text.endswith('| pip install no_such_package')


def test_large_data_is_sampled_and_annotations_are_read_once(coco, monkeypatch):
    for module in ('images', 'annotations', 'check'):
        monkeypatch.setattr(f'mmvmlp.config.check.{module}.FILES_CHECKED', 3)
    read = []
    original = annotations_module._content
    monkeypatch.setattr(
        annotations_module, '_content', lambda file: read.append(1) or original(file)
    )
    config = load_config(DIGITS, {'param_scheduler.0.end': 1})
    set_data_root(config, coco)
    check = ConfigCheck(config, most_decoded=2)
    assert list(check.findings()) == []
    assert check.examined[0] == (
        '2 of 4 training images decoded and 3 found (--all-images decodes all)'
    )
    everything = ConfigCheck(config, most_decoded=None)
    assert list(everything.findings()) == []
    assert everything.examined[0] == '4 of 4 training images decoded and 3 found'
    assert len(read) == 2 * 2


def test_records_are_evenly_spaced():
    class Numbers:
        def __len__(self):
            return 1_000_000

        def get_data_info(self, index):
            return index

    assert list(records(Numbers(), 3)) == [0, 499_999, 999_999]
    assert list(records(Config(), 3)) == []


def test_unused_levels_of_the_pyramid(coco):
    config = 'configs/mask_rcnn_resmlp_digits.py'
    found = findings(config, coco, model__neck__1__start_level=1, model__neck__1__num_outs=4)
    blocks, text = found[-1]
    assert blocks
    assert 'no gradient reaches neck.0.levels.0.0.0.weight' in text
    assert text.endswith(
        '| out_strides=(8, 16, 32) in SimplePyramid, and start_level=0, '
        'in_channels=[192, 192, 192] in the neck after it'
    )
    # The suggested change fixes it.
    assert (
        findings(
            config,
            coco,
            model__neck__0__out_strides=(8, 16, 32),
            model__neck__1__in_channels=[192, 192, 192],
        )
        == []
    )


def test_unused_parameters_are_accepted_with_find_unused_parameters(coco):
    options = {'model__neck__1__start_level': 1, 'find_unused_parameters': True}
    assert findings('configs/mask_rcnn_resmlp_digits.py', coco, **options) == []


def test_unused_parameters(coco):
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
    assert 'a batch of 16 images: 8 processes' in found[0][1]
    assert found[1][0] is True
    assert 'no gradient reaches backbone.norm0.weight, backbone.norm0.bias' in found[1][1]
    assert len(found) == 2


def own_segmentation(data, **dataset):
    """Return options that adapt a segmentor's config to custom data."""
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


def test_mask_values(ade, tmp_path):
    config = 'configs/upernet_hire_mlp_t.py'
    assert findings(config, ade, **own_segmentation(ade)) == []
    found = findings(config, ade, **own_segmentation(ade, reduce_zero_label=False))
    assert found[0][0]
    assert 'values 0 to 10, one more than the number of classes' in found[0][1]
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


def test_other_suffixes_of_images_and_masks(ade):
    config = 'configs/upernet_hire_mlp_t.py'
    options = own_segmentation(ade, img_suffix='.jpeg', seg_map_suffix='_mask.png')
    texts = errors(4, config, ade, **options)
    assert "img_suffix='.jpeg'" in texts[0] and texts[0].endswith("| img_suffix='.jpg'")
    assert 'it has 4 *.jpg' in texts[0]
    assert "data_prefix=dict(img_path='images/training')" in texts[0]
    assert "seg_map_suffix='_mask.png'" in texts[1]
    assert texts[1].endswith("| seg_map_suffix='.png'")


def test_classifier_without_a_neck(imagenet):
    config = load_config('configs/classify_hire_mlp_t.py')
    del config.model['neck']
    set_data_root(config, imagenet)
    found = list(ConfigCheck(config).findings())
    assert not any('neck' in finding.problem for finding in found)


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
    # Mixup's label vectors have this many classes.
    assert 'model.data_preprocessor.num_classes=1000' in found[2][1]
    options.update(model__head__num_classes=10, data_preprocessor__num_classes=10)
    (finding,) = findings(config, imagenet, **options)
    assert finding[0] is False


def run_command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, 'argv', ['check_config.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path('tools/check_config.py', run_name='__main__')
    return int(ended.value.code), capsys.readouterr().out.splitlines()


def test_command_prints_fixes_and_exits_with_1(coco, monkeypatch, capsys):
    short = 'param_scheduler.0.end=1'
    command = (DIGITS, '--data-root', coco, '--cfg-options', short)
    code, lines = run_command(monkeypatch, capsys, *command)
    assert code == 0
    # The summary claims only what was checked.
    assert lines[-1] == (
        'No problems found: 4 of 4 training images decoded, 2 of 2 validation images decoded, '
        'one training step done.'
    )
    code, lines = run_command(
        monkeypatch, capsys, *command, 'model.roi_head.mask_head.num_classes=3'
    )
    assert code == 1
    assert lines[0].startswith('error: model.roi_head.mask_head.num_classes=3, but train')
    assert lines[1] == '  fix: num_classes=10'
    assert not any('No ' in line for line in lines)
    code, lines = run_command(monkeypatch, capsys, *command, 'auto_scale_lr.base_batch_size=8')
    assert code == 0
    assert lines[0].startswith('warning: the learning rate is for a batch of 8 images')
    assert lines[-1].startswith('No errors found: 4 of 4 training images decoded')


def test_checkpoints_to_start_from_are_checked(coco, tmp_path):
    junk = tmp_path / 'junk.pth'
    torch.save({'weight': torch.zeros(1)}, junk)
    missing = str(tmp_path / 'missing.pth')
    for options, named in (
        ({'load_from': missing}, 'missing.pth'),
        ({'load_from': str(junk)}, 'does not fit the backbone'),
        (
            {'model__neck__init_cfg': {'type': 'Pretrained', 'checkpoint': str(junk)}},
            'model.neck.init_cfg does not fit',
        ),
    ):
        blocks, text = single_finding(DIGITS, coco, **options)
        assert blocks
        assert named in text
