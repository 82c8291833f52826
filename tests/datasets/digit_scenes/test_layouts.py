"""Each layout contains the scenes exactly, and loads in its toolbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmvmlp.datasets.digit_scenes import compose_scene, make_digit_scenes
from mmvmlp.datasets.digit_scenes.coco_categories import category_of_digit, list_categories

TRAIN, VAL = 12, 11
SIZE = (96, 144)


def scene(split: Any, index: int) -> Any:
    return compose_scene(
        split, index, seed=0, size=SIZE, digits_per_scene=(3, 6), digit_height=(0.25, 0.45)
    )


@pytest.mark.parametrize(('split', 'count'), [('train', TRAIN), ('val', VAL)])
def test_coco_annotations_are_the_masks(coco_folder: Path, split: str, count: int) -> None:
    coco = COCO(str(coco_folder / 'annotations' / f'instances_{split}2017.json'))
    assert len(coco.imgs) == count
    assert len(list((coco_folder / f'{split}2017').iterdir())) == count
    for index, image_id in enumerate(sorted(coco.imgs)):
        annotations = coco.loadAnns(coco.getAnnIds([image_id]))
        expected = scene(split, index)
        image = cv2.imread(str(coco_folder / f'{split}2017' / coco.imgs[image_id]['file_name']))
        assert image.shape == (*SIZE, 3)
        assert np.abs(image[..., ::-1].astype(int) - expected.image).mean() < 6
        assert len(annotations) == len(expected.digits)
        for annotation, digit in zip(annotations, expected.digits, strict=True):
            assert np.array_equal(coco.annToMask(annotation), digit.mask)
            assert annotation['area'] == digit.mask.sum()
            assert tuple(annotation['bbox']) == digit.box
            assert annotation['iscrowd'] == 0
            assert coco.cats[annotation['category_id']]['name'] == str(digit.label)


def test_coco_identifiers_are_unique_across_splits(coco_folder: Path) -> None:
    contents = [
        json.loads((coco_folder / 'annotations' / f'instances_{split}2017.json').read_text())
        for split in ('train', 'val')
    ]
    for kind in ('images', 'annotations'):
        identifiers = [entry['id'] for content in contents for entry in content[kind]]
        assert len(set(identifiers)) == len(identifiers)
    assert all(set(c) >= {'info', 'licenses', 'images', 'annotations'} for c in contents)
    assert contents[0]['licenses'][0]['url'].endswith('/by/2.0/')


def test_coco80_table_matches_coco() -> None:
    from mmdet.datasets import CocoDataset

    categories = list_categories('coco80')
    assert tuple(category.name for category in categories) == CocoDataset.METAINFO['classes']
    identifiers = {category.name: category.id for category in categories}
    # From COCO's own annotation files, on either side of each gap in the numbering.
    known = {'person': 1, 'fire hydrant': 11, 'stop sign': 13, 'bench': 15, 'giraffe': 25}
    known |= {'backpack': 27, 'umbrella': 28, 'handbag': 31, 'bottle': 44, 'wine glass': 46}
    known |= {'potted plant': 64, 'bed': 65, 'dining table': 67, 'toilet': 70, 'tv': 72}
    known |= {'refrigerator': 82, 'book': 84, 'toothbrush': 90}
    assert {name: identifiers[name] for name in known} == known
    assert len({category_of_digit(digit, 'coco80').id for digit in range(10)}) == 10


def test_mmdet_loads_coco_with_only_the_root_changed(tmp_path: Path) -> None:
    from mmdet.datasets import CocoDataset
    from mmdet.utils import register_all_modules

    register_all_modules()
    folder = make_digit_scenes(
        tmp_path / 'digits', 'coco', 10, 10, 64, categories='coco80', progress=False
    )
    dataset = CocoDataset(
        data_root=str(folder),
        ann_file='annotations/instances_train2017.json',
        data_prefix={'img': 'train2017/'},
        filter_cfg={'filter_empty_gt': True, 'min_size': 32},
        pipeline=[
            {'type': 'LoadImageFromFile'},
            {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        ],
    )
    assert len(dataset) == 10
    first = dataset[0]
    digits = compose_scene(
        'train', 0, seed=0, size=(64, 64), digits_per_scene=(3, 6), digit_height=(0.25, 0.45)
    ).digits
    assert list(first['gt_bboxes_labels']) == [8 * digit.label for digit in digits]
    assert np.array_equal(first['gt_masks'].masks, np.stack([digit.mask for digit in digits]))


def test_mmdet_loads_ten_classes(coco_folder: Path) -> None:
    from mmdet.datasets import CocoDataset

    dataset = CocoDataset(
        data_root=str(coco_folder),
        ann_file='annotations/instances_val2017.json',
        data_prefix={'img': 'val2017/'},
        metainfo={'classes': tuple('0123456789')},
        pipeline=[],
    )
    assert len(dataset) == VAL
    labels = [instance['bbox_label'] for instance in dataset.get_data_info(3)['instances']]
    assert labels == [digit.label for digit in scene('val', 3).digits]


@pytest.mark.parametrize(
    ('split', 'part', 'count'), [('train', 'training', TRAIN), ('val', 'validation', VAL)]
)
def test_mmseg_loads_ade(ade_folder: Path, split: str, part: str, count: int) -> None:
    from mmseg.datasets import BaseSegDataset
    from mmseg.utils import register_all_modules

    register_all_modules()
    dataset = BaseSegDataset(
        data_root=str(ade_folder),
        data_prefix={'img_path': f'images/{part}', 'seg_map_path': f'annotations/{part}'},
        metainfo={'classes': ('background', *'0123456789')},
        reduce_zero_label=False,
        pipeline=[{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}],
    )
    assert len(dataset) == count
    for index in range(count):
        expected = np.zeros(SIZE, dtype=np.uint8)
        for digit in scene(split, index).digits:
            expected[digit.mask] = digit.label + 1
        assert np.array_equal(dataset[index]['gt_seg_map'], expected)


@pytest.mark.parametrize(('split', 'count'), [('train', TRAIN), ('val', VAL)])
def test_mmpretrain_loads_imagenet(imagenet_folder: Path, split: str, count: int) -> None:
    from mmpretrain.datasets import CustomDataset

    dataset = CustomDataset(
        data_root=str(imagenet_folder),
        data_prefix=split,
        pipeline=[{'type': 'LoadImageFromFile'}],
    )
    assert len(dataset) == count
    assert tuple(dataset.CLASSES) == tuple('0123456789')
    assert dataset[0]['img'].shape == (64, 64, 3)
    labels = [dataset.get_gt_labels()[index] for index in range(count)]
    assert labels == sorted(index % 10 for index in range(count))


def test_every_layout_has_the_attribution(
    coco_folder: Path, ade_folder: Path, imagenet_folder: Path
) -> None:
    for folder in (coco_folder, ade_folder, imagenet_folder):
        assert 'danielbuechele' in (folder / 'ATTRIBUTION.txt').read_text()
