"""Object annotations: categories, image ids, polygons, and images without any."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmengine.registry import DATASETS

from mmvmlp.config.check.data_sets import FILES_CHECKED, base_settings, records
from mmvmlp.config.check.finding import Finding, shown
from mmvmlp.config.check.registered import registered


@dataclass(frozen=True)
class AnnotationFile:
    """Checked contents of an annotation file in COCO format.

    Attributes:
        categories: Names by id, in file order.
        repeated_images: Ids shared by several images.
    """

    categories: Mapping[int, str]
    repeated_images: tuple[int, ...]


@contextmanager
def remembered_files(settings: Mapping[str, Any]) -> Iterator[dict[str, AnnotationFile]]:
    """Record the COCO annotation files that data sets built in this context read.

    Data sets discard them once initialised, and reading COCO again takes half a minute.

    Args:
        settings: Settings of the data set that is built.

    Yields:
        Contents of each file, by ``ann_file``.
    """
    classes = [registered(DATASETS, base.get('type')) for base in base_settings(settings)]
    owners = {
        next(base for base in kind.__mro__ if 'COCOAPI' in vars(base))
        for kind in classes
        if hasattr(kind, 'COCOAPI')
    }
    files: dict[str, AnnotationFile] = {}

    def remembering(read: Callable[[str], Any]) -> Callable[[Any, str], Any]:
        def read_and_remember(dataset: Any, path: str) -> Any:
            coco = read(path)
            files[dataset.ann_file] = _content(coco.dataset)
            return coco

        return read_and_remember

    originals = {owner: owner.COCOAPI for owner in owners}
    try:
        for owner, original in originals.items():
            owner.COCOAPI = remembering(original)
        yield files
    finally:
        for owner, original in originals.items():
            owner.COCOAPI = original


def _content(file: Mapping[str, Any]) -> AnnotationFile:
    ids = Counter(image['id'] for image in file['images'])
    return AnnotationFile(
        {category['id']: category['name'] for category in file.get('categories', [])},
        tuple(image for image, count in ids.items() if count > 1),
    )


def annotations(name: str, dataset: Any, files: Mapping[str, AnnotationFile]) -> Iterator[Finding]:
    """Find missing and unusable annotations.

    Args:
        name: Name of the data set in messages.
        dataset: A data set that reads files.
        files: From :func:`remembered_files`.
    """
    file = files.get(getattr(dataset, 'ann_file', ''))
    if file is not None:
        yield from _categories(name, dataset, file)
        if file.repeated_images:
            yield Finding(
                True,
                f'{name}: several images have the same id in {dataset.ann_file!r}: '
                f'{shown(file.repeated_images)}; mmdet keeps only the last one, with the '
                'annotations of all',
                'a unique id for each image',
            )
    yield from _instances(name, dataset)


def _categories(name: str, dataset: Any, file: AnnotationFile) -> Iterator[Finding]:
    """Compare the classes with the categories, whose order defines mmdet's labels."""
    available = tuple(file.categories.values())
    wanted = tuple(dataset.metainfo['classes'])
    numbered = {
        label: file.categories[category]
        for category, label in getattr(dataset, 'cat2label', {}).items()
    }
    if missing := [category for category in wanted if category not in available]:
        yield Finding(
            True,
            f'{name}: the annotation file has no category {shown(missing)}; it has '
            f'{shown(available)}. mmdet silently ignores such classes',
            f'metainfo=dict(classes={available!r})',
        )
        return
    right = tuple(numbered[label] for label in sorted(numbered))
    if numbered and right != wanted:
        yield Finding(
            True,
            f'{name}: the order of classes differs from that of the categories in the annotation '
            f"file, which defines mmdet's labels: {shown(wanted)} instead of {shown(right)}. "
            'Predictions would get wrong names',
            f'metainfo=dict(classes={right!r})',
        )
    if unused := [category for category in available if category not in wanted]:
        yield Finding(
            False,
            f'{name}: annotations of {shown(unused)} are ignored, since these are not among its '
            'classes',
            'none needed if this is intended',
        )


def _instances(name: str, dataset: Any) -> Iterator[Finding]:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', None) or []
    masks = any(getattr(transform, 'with_mask', False) for transform in transforms)
    polygons_only = masks and any(
        getattr(transform, 'poly2mask', True) is False for transform in transforms
    )
    checked = empty = crowds = 0
    polygons, encoded = [], []
    for record in records(dataset, FILES_CHECKED):
        if 'instances' not in record:
            return
        checked += 1
        instances = record['instances']
        empty += not instances
        crowds += bool(instances) and all(item.get('ignore_flag') for item in instances)
        if masks and any(_has_no_polygon(item.get('mask')) for item in instances):
            polygons.append(record.get('img_path'))
        # What mmdet reads without polygons is ignored anyway.
        singles = (item for item in instances if not item.get('ignore_flag'))
        if polygons_only and any(isinstance(item.get('mask'), dict) for item in singles):
            encoded.append(record.get('img_path'))
    if encoded:
        yield Finding(
            True,
            f'{name}: {len(encoded)} of {checked} images have masks in RLE, which mmdet silently '
            f'drops with poly2mask=False: {shown(encoded)}',
            'poly2mask=True in every LoadAnnotations of the config',
        )
    if polygons:
        yield Finding(
            True,
            f'{name}: {len(polygons)} of {checked} images have objects without a valid polygon (at '
            f'least 3 points, as x, y pairs), which mmdet silently drops: {shown(polygons)}',
            'polygons as [x1, y1, x2, y2, x3, y3, ...] in the annotation file',
        )
    if checked and empty == checked:
        yield Finding(
            True,
            f'{name}: none of its {checked} images has an annotation of its classes',
            'check metainfo=dict(classes=...) and the annotation file',
        )
    elif checked and empty + crowds == checked:
        yield Finding(
            True,
            f'{name}: all annotations of its {checked} images have iscrowd=1: they are not used '
            'for training or evaluation',
            'iscrowd=0 for single objects in the annotation file',
        )
    elif empty:
        yield Finding(
            False,
            f'{name}: {empty} of {checked} images have no annotation',
            'none needed if this is intended; otherwise filter_cfg=dict(filter_empty_gt=True)',
        )


def _has_no_polygon(segmentation: Any) -> bool:
    return isinstance(segmentation, list) and not any(
        len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in segmentation
    )
