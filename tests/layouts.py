"""Small data sets in the layouts of others than COCO, from a folder in COCO's layout."""

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

SPLITS = {'train': 'train2017', 'val': 'val2017'}
VOC_LISTS = {
    'train': ('Main/trainval', 'Segmentation/train', 'Segmentation/aug'),
    'val': ('Main/test', 'Segmentation/val'),
}


def read(folder: Path, split: str) -> COCO:
    """Read the instances of a split of a folder in COCO's layout."""
    return COCO(folder / 'annotations' / f'instances_{SPLITS[split]}.json')


def renamed(coco: COCO, classes: Sequence[str]) -> dict[str, Any]:
    """Return annotations whose instances are spread over other classes, numbered from 1."""
    return {
        'images': [dict(image) for image in coco.dataset['images']],
        'annotations': [
            {**instance, 'category_id': 1 + index % len(classes)}
            for index, instance in enumerate(coco.dataset['annotations'])
        ],
        'categories': [{'id': number, 'name': name} for number, name in enumerate(classes, 1)],
    }


def write(content: dict[str, Any], file: Path) -> None:
    """Write annotations, and the folder around them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def add_panoptic_annotations(folder: Path) -> None:
    """Write the masks of a folder in COCO's layout as COCO's panoptic annotations, too."""
    for split, name in SPLITS.items():
        coco = read(folder, split)
        maps = folder / 'annotations' / f'panoptic_{name}'
        maps.mkdir()
        annotations = []
        for image in coco.loadImgs(coco.getImgIds()):
            identifiers = np.zeros((image['height'], image['width']), np.uint32)
            segments = coco.loadAnns(coco.getAnnIds(image['id']))
            for segment in segments:
                identifiers[coco.annToMask(segment) > 0] = segment['id']
                segment.pop('segmentation')
            file = Path(image['file_name']).with_suffix('.png').name
            channels = [identifiers >> shift & 255 for shift in (0, 8, 16)]
            Image.fromarray(np.stack(channels, -1).astype(np.uint8)).save(maps / file)
            annotations.append(
                {'image_id': image['id'], 'file_name': file, 'segments_info': segments}
            )
        content = {
            'images': coco.dataset['images'],
            'annotations': annotations,
            'categories': [{**category, 'isthing': 1} for category in coco.dataset['categories']],
        }
        write(content, folder / 'annotations' / f'panoptic_{name}.json')


def label_map(
    coco: COCO, image: dict[str, Any], content: dict[str, Any], first: int
) -> Image.Image:
    """Draw the instances of an image as labels, those of the first class as `first`."""
    labels = np.zeros((image['height'], image['width']), np.uint8)
    for instance in content['annotations']:
        if instance['image_id'] == image['id']:
            labels[coco.annToMask(instance) > 0] = first - 1 + instance['category_id']
    return Image.fromarray(labels)


def make_cityscapes(source: Path, folder: Path) -> Path:
    """Make Cityscapes, with the instances of mmdet and the label maps of mmsegmentation."""
    from mmdet.datasets import CityscapesDataset

    for split, name in SPLITS.items():
        coco = read(source, split)
        content = renamed(coco, CityscapesDataset.METAINFO['classes'])
        for image in content['images']:
            city = Path('aachen', Path(image['file_name']).stem)
            for kind in ('leftImg8bit', 'gtFine'):
                (folder / kind / split / 'aachen').mkdir(parents=True, exist_ok=True)
            photograph = Image.open(source / name / image['file_name'])
            image['file_name'] = f'{city}_leftImg8bit.png'
            photograph.save(folder / 'leftImg8bit' / split / image['file_name'])
            # The eight classes with instances are the last of nineteen.
            labels = label_map(coco, image, content, first=11)
            labels.save(folder / 'gtFine' / split / f'{city}_gtFine_labelTrainIds.png')
        write(content, folder / f'annotations/instancesonly_filtered_gtFine_{split}.json')
    return folder


def make_voc(source: Path, folder: Path) -> Path:
    """Make PASCAL VOC 2007 and 2012 with the same images, boxes and label maps."""
    from mmdet.datasets import VOCDataset

    classes = VOCDataset.METAINFO['classes']
    for year, split in itertools.product((2007, 2012), SPLITS):
        root = folder / f'VOC{year}'
        kinds = ('JPEGImages', 'Annotations', 'SegmentationClass', 'SegmentationClassAug')
        for kind in (*kinds, 'ImageSets/Main', 'ImageSets/Segmentation'):
            (root / kind).mkdir(parents=True, exist_ok=True)
        coco = read(source, split)
        content = renamed(coco, classes)
        names = []
        for image in content['images']:
            photograph = source / SPLITS[split] / image['file_name']
            shutil.copy(photograph, root / f'JPEGImages/{photograph.stem}.jpg')
            voc_annotation(image, content, classes).write(
                root / f'Annotations/{photograph.stem}.xml'
            )
            # The first label is the background.
            labels = label_map(coco, image, content, first=1)
            for kind in ('SegmentationClass', 'SegmentationClassAug'):
                labels.save(root / f'{kind}/{photograph.stem}.png')
            names.append(photograph.stem)
        for listed in VOC_LISTS[split]:
            (root / f'ImageSets/{listed}.txt').write_text('\n'.join(names))
    return folder


def voc_annotation(
    image: dict[str, Any], content: dict[str, Any], classes: Sequence[str]
) -> ElementTree.ElementTree:
    """Return the boxes of an image in the XML of PASCAL VOC, which counts pixels from 1."""
    annotation = ElementTree.Element('annotation')
    size = ElementTree.SubElement(annotation, 'size')
    for side in ('width', 'height'):
        ElementTree.SubElement(size, side).text = str(image[side])
    for instance in content['annotations']:
        if instance['image_id'] == image['id']:
            item = ElementTree.SubElement(annotation, 'object')
            ElementTree.SubElement(item, 'name').text = classes[instance['category_id'] - 1]
            box = ElementTree.SubElement(item, 'bndbox')
            x, y, width, height = instance['bbox']
            sides = {'xmin': x + 1, 'ymin': y + 1, 'xmax': x + width, 'ymax': y + height}
            for side, value in sides.items():
                ElementTree.SubElement(box, side).text = str(value)
    return ElementTree.ElementTree(annotation)


def make_lvis(source: Path, folder: Path) -> Path:
    """Make LVIS v1, which names images by their addresses."""
    from mmdet.datasets import LVISV1Dataset

    for split, name in SPLITS.items():
        shutil.copytree(source / name, folder / name)
        content = renamed(read(source, split), LVISV1Dataset.METAINFO['classes'])
        for image in content['images']:
            file = image.pop('file_name')
            image['coco_url'] = f'http://images.cocodataset.org/{name}/{file}'
            image.update(neg_category_ids=[], not_exhaustive_category_ids=[])
        write(content, folder / f'annotations/lvis_v1_{split}.json')
    return folder


def make_objects365(source: Path, folder: Path) -> Path:
    """Make Objects365 v2, whose images lie in folders called patches."""
    from mmdet.datasets import Objects365V2Dataset

    for split, name in SPLITS.items():
        shutil.copytree(source / name, folder / split / 'patch0')
        content = renamed(read(source, split), Objects365V2Dataset.METAINFO['classes'])
        for image in content['images']:
            image['file_name'] = f'images/v2/patch0/{image["file_name"]}'
        write(content, folder / f'annotations/zhiyuan_objv2_{split}.json')
    return folder
