"""Writers of the three folder layouts that users' data has."""

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

# Image numbers of val start here, so that no two images of a data set share one.
FIRST_VAL_IMAGE_ID = 500_000


@dataclass(frozen=True)
class SceneOptions:
    """What is asked of the generator.

    Attributes:
        layout: 'coco' (instances), 'ade' (index pictures) or 'imagenet' (a folder a class).
        train: Number of training pictures.
        val: Number of validation pictures.
        size: Height and width of every picture in pixels.
        seed: Pictures are the same for the same seed, whatever their number.
        categories: Names in a COCO layout, 'digits' or 'coco80'.
        digits_per_scene: Least and greatest number of digits in a scene; in an 'imagenet' layout
            all but one are fragments.
        digit_height: Least and greatest height of a digit as fractions of the shorter side.
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
        """Number of pictures in a split."""
        return self.train if split == 'train' else self.val

    def scene(self, split: Split, index: int) -> Scene:
        """Compose one picture of this data set."""
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


def write_layout(folder: Path, options: SceneOptions, on_picture: Callable[[], object]) -> None:
    """Write pictures and annotations into an empty folder.

    Args:
        folder: Where to write.
        options: What to write.
        on_picture: Called after every picture.
    """
    writers = {'coco': _write_coco, 'ade': _write_ade, 'imagenet': _write_imagenet}
    for split in SPLITS:
        writers[options.layout](folder, split, options, on_picture)


def _write_coco(
    folder: Path, split: Split, options: SceneOptions, on_picture: Callable[[], object]
) -> None:
    pictures = folder / f'{split}2017'
    annotation_folder = folder / 'annotations'
    pictures.mkdir()
    annotation_folder.mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        image_id = index + 1 + (FIRST_VAL_IMAGE_ID if split == 'val' else 0)
        file_name = f'{image_id:012d}.jpg'
        _write_jpeg(pictures / file_name, scene)
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
                    # Room for a hundred a picture: more pictures change no identifier.
                    'id': image_id * 100 + position,
                }
            )
        on_picture()
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
    # Run lengths, not polygons: COCO's polygons have no holes, and a 0 or an 8 has.
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
    folder: Path, split: Split, options: SceneOptions, on_picture: Callable[[], object]
) -> None:
    part = 'training' if split == 'train' else 'validation'
    pictures, index_pictures = folder / 'images' / part, folder / 'annotations' / part
    pictures.mkdir(parents=True)
    index_pictures.mkdir(parents=True)
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        name = f'digits_{split}_{index + 1:08d}'
        _write_jpeg(pictures / f'{name}.jpg', scene)
        classes = np.zeros(options.size, dtype=np.uint8)
        for digit in scene.digits:
            classes[digit.mask] = digit.label + 1
        _write_picture(index_pictures / f'{name}.png', classes, [])
        on_picture()


def _write_imagenet(
    folder: Path, split: Split, options: SceneOptions, on_picture: Callable[[], object]
) -> None:
    for label in range(10):
        (folder / split / str(label)).mkdir(parents=True)
    for index in range(options.count(split)):
        scene = options.scene(split, index)
        label = scene.digits[0].label
        _write_jpeg(folder / split / str(label) / f'{split}_{index + 1:08d}.jpg', scene)
        on_picture()


def _write_jpeg(path: Path, scene: Scene) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _write_picture(path, cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), quality)


def _write_picture(path: Path, pixels: npt.NDArray[np.uint8], parameters: list[int]) -> None:
    # OpenCV's own writing to a file reports a full disk as a mere False.
    encoded, content = cv2.imencode(path.suffix, pixels, parameters)
    if not encoded:
        raise OSError(f'OpenCV could not encode {path.name}')
    path.write_bytes(content.tobytes())
