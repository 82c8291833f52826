"""Image files that are missing, unreadable, or differ in size from their annotation."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, UnidentifiedImageError

from mmvmlp.config.check.data_sets import FILES_CHECKED, records, setting_of_folder
from mmvmlp.config.check.finding import Finding, shown
from mmvmlp.config.check.folders import endings_in, subfolders


@dataclass
class Images:
    """Checks the images of a data set.

    Args:
        name: Name of the data set in messages.
        dataset: A data set that reads files.
        most: Maximum number of images to decode; None for all.

    Attributes:
        decoded: Number of images decoded.
    """

    name: str
    dataset: Any
    most: int | None
    decoded: int = field(default=0, init=False)

    def findings(self) -> Iterator[Finding]:
        """Check that the files exist, then decode a sample of them."""
        absent = list(self._absent())
        yield from absent
        if not absent:
            yield from self._unreadable()

    def _absent(self) -> Iterator[Finding]:
        checked, missing = 0, []
        for record in records(self.dataset, FILES_CHECKED):
            path = record.get('img_path')
            if isinstance(path, str) and '://' not in path:
                checked += 1
                if not os.path.exists(path):
                    missing.append(record)
        # Only the loader knows storage other than files, such as LMDB.
        if missing and self._error(missing[0]):
            paths = [record['img_path'] for record in missing]
            where, fix = self._found_elsewhere(paths[0])
            yield Finding(
                True,
                f'{self.name}: {len(missing)} of {checked} images do not exist: {shown(paths)}'
                f'{where}',
                fix,
            )

    def _found_elsewhere(self, path: str) -> tuple[str, str]:
        """Describe the actual place of a missing image, and the setting for it."""
        root = self.dataset.data_root or ''
        prefixes = getattr(self.dataset, 'data_prefix', None) or {}
        key = next((name for name in ('img', 'img_path') if prefixes.get(name)), None)
        if key is None:
            return '', 'copy the files there, or remove them from the annotations'
        folder = prefixes[key]
        setting = f', with {setting_of_folder(self.dataset, key)}'
        in_folder = os.path.relpath(path, folder)
        for other in subfolders(root) if root else []:
            if os.path.exists(os.path.join(other, in_folder)):
                return setting, setting_of_folder(self.dataset, key, other)
        stem = os.path.splitext(path)[0]
        for ending in endings_in(folder):
            if os.path.exists(stem + ending):
                return (
                    f'{setting}; the folder has {os.path.basename(stem)}{ending}',
                    f'file names ending in {ending!r} in the annotation file',
                )
        names = shown(sorted(os.listdir(folder))) if os.path.isdir(folder) else ''
        return (
            f'{setting}; the folder has {names or "no files"}',
            'data_prefix with the folder of the files, or an annotation file without them',
        )

    def _unreadable(self) -> Iterator[Finding]:
        damaged, sizes = [], []
        for record in records(self.dataset, self.most):
            results = dict(record)
            error = self._error(results)
            if error:
                damaged.append(f'{record.get("img_path")} ({error})')
                continue
            if 'img' not in results:
                continue
            self.decoded += 1
            size = tuple(results['img'].shape[:2])
            noted = record.get('height'), record.get('width')
            if None not in noted and noted != size:
                sizes.append(
                    f'{record["img_path"]} is {size[1]} x {size[0]}, annotated as '
                    f'{noted[1]} x {noted[0]}'
                )
        if damaged:
            yield Finding(
                True,
                f'{self.name}: images cannot be read: {shown(damaged)}',
                'copy these files again, or remove these images from the annotation file',
            )
        if sizes:
            yield Finding(
                True,
                f'{self.name}: image sizes (width x height) differ from the annotation file: '
                f'{shown(sizes)}',
                'width and height in the annotation file, with boxes and masks for that size; or '
                'the original images',
            )

    def _error(self, results: dict[str, Any]) -> str:
        """Load an image as the run does, into ``results['img']``, and describe any error."""
        transforms = getattr(getattr(self.dataset, 'pipeline', None), 'transforms', None) or []
        loader = next((t for t in transforms if type(t).__name__.startswith('LoadImage')), None)
        if loader is None:
            return ''
        try:
            results.update(loader(dict(results)) or {})
            _decode_completely(results['img_path'])
        except ModuleNotFoundError:
            raise
        except Exception as error:
            return ' '.join(str(error).split())[:200] or type(error).__name__
        return ''


def _decode_completely(path: str) -> None:
    """Raise an error for a truncated file, which OpenCV would fill with grey."""
    if os.path.isfile(path):
        try:
            with Image.open(path) as image:
                image.load()
        except (UnidentifiedImageError, Image.DecompressionBombError):
            # The loader of the run has decoded it.
            pass
