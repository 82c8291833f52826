"""Formats of prediction files: JSON with drawings or index maps, COCO's results, Parquet."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

from mmvmlp.inference.chunks import Result
from mmvmlp.optional_packages import import_optional
from mmvmlp.output_files import write_atomically

Failure = dict[str, str]
"""Path of an image without predictions, and why it has none: ``path`` and ``message``."""


@dataclass(frozen=True)
class PredictionFormat(ABC):
    """A format in which the predictions of a shard are written.

    Attributes:
        task: The model's task.
        class_names: Its classes.
        about: What files are to say about the run.
        names: Names of all images' own files, without suffix, if they have any.
    """

    task: str
    class_names: Sequence[str]
    about: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()

    suffix: ClassVar[str]
    """Suffix of the file whose presence says that a shard is complete."""

    tasks: ClassVar[tuple[str, ...]] = ('detection', 'segmentation', 'classification')
    draws: ClassVar[bool] = False
    writes_index_maps: ClassVar[bool] = False

    @abstractmethod
    def write(self, results: Sequence[Result], file: Path) -> None:
        """Write the predictions of a shard; `file` itself last, and whole."""

    @abstractmethod
    def failures(self, file: Path) -> list[Failure]:
        """Read which images of a shard have no predictions."""


class JsonFormat(PredictionFormat):
    """A JSON file, beside a drawing of each image and a segmentor's index map."""

    suffix = '.json'
    draws = True
    writes_index_maps = True

    def write(self, results: Sequence[Result], file: Path) -> None:
        records = []
        for result in results:
            if result.error is not None:
                continue
            files = {}
            for suffix, contents in result.files.items():
                name = f'{self.names[result.index]}{suffix}'
                write_atomically(file.with_name(name), contents)
                files['drawing' if suffix == '.jpg' else 'index_map'] = name
            size = {key: result.record[key] for key in ('width', 'height')}
            warning = {'warning': result.warning} if result.warning else {}
            records.append({'path': result.path, **size, **files, **warning, **result.record})
        written = {'task': self.task, **self.about, 'images': records}
        if failures := failures_among(results):
            written['failures'] = failures
        write_atomically(file, json.dumps(written, indent=1).encode())

    def failures(self, file: Path) -> list[Failure]:
        found: list[Failure] = json.loads(file.read_bytes()).get('failures', [])
        return found


class IndexMapFormat(JsonFormat):
    """A PNG of class indices for each image, beside a JSON file."""

    tasks = ('segmentation',)
    draws = False


@dataclass(frozen=True)
class CocoFormat(PredictionFormat):
    """COCO's results, and a file of the images' ids that can take the place of annotations.

    Attributes:
        ids: Ids of images and classes; by default they are counted from 1.
    """

    ids: CocoIds | None = None

    suffix = '.json'
    tasks = ('detection',)

    def write(self, results: Sequence[Result], file: Path) -> None:
        images, found = [], []
        for result in results:
            if result.error is not None:
                continue
            image_id = self.ids.images[result.path] if self.ids else result.index + 1
            size = {key: result.record[key] for key in ('width', 'height')}
            warning = {'warning': result.warning} if result.warning else {}
            images.append({'id': image_id, 'file_name': result.path, **size, **warning})
            for detection in result.record['detections']:
                left, top, right, bottom = detection['box']
                found.append(
                    {
                        'image_id': image_id,
                        'category_id': self._category_id(detection['label']),
                        'bbox': [left, top, round(right - left, 2), round(bottom - top, 2)],
                        'score': detection['score'],
                        **({'segmentation': detection['mask']} if 'mask' in detection else {}),
                    }
                )
        categories = [
            {'id': self._category_id(label), 'name': name}
            for label, name in enumerate(self.class_names)
        ]
        beside = {
            'info': self.about,
            'images': images,
            'annotations': [],
            'categories': categories,
            'failures': failures_among(results),
        }
        write_atomically(_images_file(file), json.dumps(beside, indent=1).encode())
        write_atomically(file, json.dumps(found).encode())

    def failures(self, file: Path) -> list[Failure]:
        found: list[Failure] = json.loads(_images_file(file).read_bytes())['failures']
        return found

    def _category_id(self, label: int) -> int:
        return self.ids.categories[label] if self.ids else label + 1


class ParquetFormat(PredictionFormat):
    """A Parquet table with a row for each image."""

    suffix = '.parquet'

    def write(self, results: Sequence[Result], file: Path) -> None:
        import pyarrow as pa

        pq = import_optional('pyarrow.parquet', 'storage')
        rows = []
        for result in results:
            entries = result.record.get('detections') or result.record.get('classes') or []
            row = {
                'path': result.path,
                'width': result.record.get('width'),
                'height': result.record.get('height'),
                'error': result.error,
                'warning': result.warning,
            }
            for column, key in COLUMNS[self.task].items():
                row[column] = (
                    None if result.error is not None else [entry.get(key) for entry in entries]
                )
            rows.append(row)
        described = {'task': self.task, 'class_names': list(self.class_names), **self.about}
        schema = _schema(self.task).with_metadata({'mmvmlp': json.dumps(described)})
        stream = BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream)
        write_atomically(file, stream.getbuffer())

    def failures(self, file: Path) -> list[Failure]:
        table = import_optional('pyarrow.parquet', 'storage').read_table(
            file, columns=['path', 'error']
        )
        return [
            {'path': row['path'], 'message': row['error']}
            for row in table.to_pylist()
            if row['error'] is not None
        ]


FORMATS: Mapping[str, type[PredictionFormat]] = {
    'drawings': JsonFormat,
    'coco': CocoFormat,
    'parquet': ParquetFormat,
    'png': IndexMapFormat,
}

COLUMNS: Mapping[str, Mapping[str, str]] = {
    'detection': {'boxes': 'box', 'scores': 'score', 'labels': 'label', 'masks': 'mask'},
    'segmentation': {'labels': 'label', 'pixels': 'pixels'},
    'classification': {'labels': 'label', 'scores': 'score'},
}
"""Columns of a Parquet table that have an entry for each detection or class, by task."""


@dataclass(frozen=True)
class CocoIds:
    """Ids of an annotation file.

    Attributes:
        images: Id of every image that is predicted on, by its path.
        categories: Id of each class of the model, in order.
    """

    images: Mapping[str, int]
    categories: Sequence[int]


def read_coco_ids(file: Path, paths: Sequence[str], class_names: Sequence[str]) -> CocoIds:
    """Take the ids of images and classes from an annotation file, by their names.

    Args:
        file: In COCO's format.
        paths: The images; ``file_name`` of each is the end of its path.
        class_names: The model's classes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or does not have an image or a class.
    """
    if not file.is_file():
        raise FileNotFoundError(f'annotations {str(file)!r}: there is no such file')
    try:
        contents = json.loads(file.read_bytes())
        images = {str(image['file_name']): int(image['id']) for image in contents['images']}
        categories = {str(each['name']): int(each['id']) for each in contents['categories']}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"annotations {str(file)!r}: a JSON file in COCO's format is accepted "
            f'({type(error).__name__}: {error})'
        ) from None
    ids = {}
    for path in paths:
        parts = path.replace('\\', '/').split('/')
        ends = ['/'.join(parts[start:]) for start in range(len(parts))]
        found = [images[end] for end in ends if end in images]
        if not found:
            raise ValueError(f'annotations {str(file)!r} have no image {path!r}')
        ids[path] = found[0]
    missing = [name for name in class_names if name not in categories]
    if missing or not class_names:
        raise ValueError(
            f'annotations {str(file)!r} have no category {", ".join(missing) or "names"}; the '
            "model's classes must be among them"
        )
    return CocoIds(ids, [categories[name] for name in class_names])


def failures_among(results: Sequence[Result]) -> list[Failure]:
    """List the images without predictions."""
    return [
        {'path': result.path, 'message': result.error}
        for result in results
        if result.error is not None
    ]


def _images_file(file: Path) -> Path:
    return file.with_suffix('.images.json')


def _schema(task: str) -> Any:
    import pyarrow as pa

    mask = pa.struct({'size': pa.list_(pa.int32(), 2), 'counts': pa.string()})
    types = {
        'boxes': pa.list_(pa.float32(), 4),
        'scores': pa.float32(),
        'labels': pa.int32(),
        'masks': mask,
        'pixels': pa.int64(),
    }
    return pa.schema(
        [
            ('path', pa.string()),
            ('width', pa.int32()),
            ('height', pa.int32()),
            ('error', pa.string()),
            ('warning', pa.string()),
            *((column, pa.list_(types[column])) for column in COLUMNS[task]),
        ]
    )
