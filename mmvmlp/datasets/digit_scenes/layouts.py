"""Write digit scenes in the folder layouts of COCO, ADE20K and ImageNet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from mmvmlp.datasets.digit_scenes.coco_categories import (
    Categories,
    category_of_digit,
    list_categories,
)
from mmvmlp.datasets.digit_scenes.scenes import Digit, Scene, compose_clutter, compose_scene
from mmvmlp.datasets.digit_scenes.sources import (
    LICENSE_NAME,
    LICENSE_URL,
    PHOTOGRAPHS,
    SPLITS,
    Split,
)

Layout = Literal['coco', 'ade', 'imagenet']

JPEG_QUALITY = 95

# Image ids of val start here, so that they are unique across splits.
FIRST_VAL_IMAGE_ID = 500_000


@dataclass(frozen=True)
class SceneOptions:
    """Options of the generator.

    Attributes:
        layout: 'coco' (instances), 'ade' (segmentation masks) or 'imagenet' (one folder per class).
        train: Number of training images.
        val: Number of validation images.
        size: Height and width of the images in pixels.
        seed: Seed of the data set.
        categories: Category names of the COCO layout, 'digits' or 'coco80'.
        digits_per_scene: Minimum and maximum number of digits in a scene; in the 'imagenet' layout
            all but one are fragments.
        digit_height: Minimum and maximum height of a digit as fractions of the shorter side.
    """

    layout: Layout
    train: int
    val: int
    size: tuple[int, int]
    seed: int
    categories: Categories
    digits_per_scene: tuple[int, int]
    digit_height: tuple[float, float]

    def count(self, split: Split) -> int:
        """Return the number of images in a split."""
        return self.train if split == 'train' else self.val

    def scene(self, split: Split, index: int) -> Scene:
        """Compose one scene of the data set."""
        if self.layout == 'imagenet':
            return compose_clutter(
                split,
                index,
                seed=self.seed,
                size=self.size,
                digits_per_scene=self.digits_per_scene,
                digit_height=self.digit_height,
                label=index % 10,
            )
        return compose_scene(
            split,
            index,
            seed=self.seed,
            size=self.size,
            digits_per_scene=self.digits_per_scene,
            digit_height=self.digit_height,
        )


def write_layout(folder: Path, options: SceneOptions, on_image: Callable[[], object]) -> None:
    """Write images and annotations into an empty folder.

    Args:
        folder: The folder.
        options: Options of the generator.
        on_image: Called after every image.
    """
    writers = {'coco': _write_coco, 'ade': _write_ade, 'imagenet': _write_imagenet}
    for split in SPLITS:
        writers[options.layout](folder, split, options, on_image)


def missing_files(folder: Path, options: SceneOptions) -> list[str]:
    """Say which folders of a data set have fewer files than were written."""
    gaps = []
    for split in SPLITS:
        count, part = options.count(split), 'training' if split == 'train' else 'validation'
        expected = {
            'coco': {
                f'{split}2017/*.jpg': count,
                f'annotations/instances_{split}2017.json': 1,
            },
            'ade': {f'images/{part}/*.jpg': count, f'annotations/{part}/*.png': count},
            'imagenet': {f'{split}/*/*.jpg': count},
        }
        for pattern, number in expected[options.layout].items():
            found = sum(1 for _ in folder.glob(pattern))
            if found < number:
                gaps.append(f'{pattern}: {found} of {number}')
    return gaps


def _write_coco(
    folder: Path, split: Split, options: SceneOptions, on_image: Callable[[], object]
) -> None:
    image_folder = folder / f'{split}2017'
    annotation_folder = folder / 'annotations'
    image_folder.mkdir()
    annotation_folder.mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        image_id = index + 1 + (FIRST_VAL_IMAGE_ID if split == 'val' else 0)
        file_name = f'{image_id:012d}.jpg'
        _write_jpeg(image_folder / file_name, scene)
        images.append(
            {
                'license': 1,
                'file_name': file_name,
                'height': options.size[0],
                'width': options.size[1],
                'flickr_url': PHOTOGRAPHS[scene.photograph].page,
                'id': image_id,
            }
        )
        for position, digit in enumerate(scene.digits, start=1):
            annotations.append(
                {
                    **_instance(digit, options.categories),
                    'image_id': image_id,
                    # Room for a hundred per image, so that ids do not depend on other images.
                    'id': image_id * 100 + position,
                }
            )
        on_image()
    categories = list_categories(options.categories)
    content = {
        'info': _coco_info(),
        'licenses': [{'id': 1, 'name': LICENSE_NAME, 'url': LICENSE_URL}],
        'images': images,
        'annotations': annotations,
        'categories': [
            {'supercategory': category.supercategory, 'id': category.id, 'name': category.name}
            for category in categories
        ],
    }
    text = json.dumps(content, separators=(',', ':'))
    (annotation_folder / f'instances_{split}2017.json').write_text(text, encoding='utf-8')


def _coco_info() -> dict[str, Any]:
    authors = ' and '.join(f'{p.author} ({p.page})' for p in PHOTOGRAPHS)
    return {
        'description': (
            'Handwritten digits composed on crops of two photographs; see ATTRIBUTION.txt. '
            f'Photographs by {authors}, {LICENSE_NAME}: cropped, resized, mirrored, brightness '
            'and contrast changed, digits drawn over them.'
        ),
        'version': '1.0',
        'contributor': 'mmvmlp',
    }


def _instance(digit: Digit, categories: Categories) -> dict[str, Any]:
    # Run lengths, not polygons, which cannot describe the holes of a 0 or an 8.
    encoded = coco_mask.encode(np.asfortranarray(digit.mask.astype(np.uint8)))
    return {
        'segmentation': {
            'size': [int(side) for side in encoded['size']],
            'counts': encoded['counts'].decode('ascii'),
        },
        'area': int(digit.mask.sum()),
        'iscrowd': 0,
        'bbox': list(digit.box),
        'category_id': category_of_digit(digit.label, categories).id,
    }


def _write_ade(
    folder: Path, split: Split, options: SceneOptions, on_image: Callable[[], object]
) -> None:
    part = 'training' if split == 'train' else 'validation'
    images, masks = folder / 'images' / part, folder / 'annotations' / part
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        name = f'digits_{split}_{index + 1:08d}'
        _write_jpeg(images / f'{name}.jpg', scene)
        classes = np.zeros(options.size, dtype=np.uint8)
        for digit in scene.digits:
            classes[digit.mask] = digit.label + 1
        _write_image(masks / f'{name}.png', classes, [])
        on_image()


def _write_imagenet(
    folder: Path, split: Split, options: SceneOptions, on_image: Callable[[], object]
) -> None:
    for label in range(10):
        (folder / split / str(label)).mkdir(parents=True)
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        label = scene.digits[0].label
        _write_jpeg(folder / split / str(label) / f'{split}_{index + 1:08d}.jpg', scene)
        on_image()


def _write_jpeg(path: Path, scene: Scene) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _write_image(path, cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), quality)


def _write_image(path: Path, pixels: npt.NDArray[np.uint8], parameters: list[int]) -> None:
    # cv2.imwrite reports a full disk only by returning False.
    encoded, content = cv2.imencode(path.suffix, pixels, parameters)
    if not encoded:
        raise OSError(f'OpenCV could not encode {path.name}')
    path.write_bytes(content.tobytes())
