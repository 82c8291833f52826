"""Image files named by paths, folders and patterns."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
"""Suffixes of images in a folder; a file that is named may have any."""


def find_images(names: Sequence[str]) -> list[Path]:
    """Find the images that files, folders and patterns name.

    Args:
        names: Files; folders, of which the images directly in them are taken; patterns with
            ``*``, ``?``, ``[...]`` and ``**`` for folders below folders.

    Returns:
        The files, each once, those of a folder or a pattern in the order of their names.

    Raises:
        FileNotFoundError: If a file or folder is missing, or a folder or pattern has no image.
    """
    found: dict[str, Path] = {}
    for name in names:
        for path in _images_named(name):
            # Not Path.resolve, which raises errors for links that lead to themselves.
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def is_image_name(name: str) -> bool:
    """Return whether a name ends as images' names do."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def _images_named(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        images = _images_among(path.iterdir())
        if not images:
            raise FileNotFoundError(
                f'folder {name!r}: there is no image in it ({", ".join(IMAGE_SUFFIXES)}); '
                'folders below it are not searched'
            )
        return images
    if path.is_file():
        return [path]
    if glob.has_magic(name):
        images = _images_among(Path(match) for match in _matches(name))
        if not images:
            raise FileNotFoundError(f'pattern {name!r}: no image matches it')
        return images
    if path.is_symlink():
        raise FileNotFoundError(f'image {name!r}: this link leads nowhere, or to itself')
    raise FileNotFoundError(f'image {name!r}: there is no such file or folder')


def _matches(pattern: str) -> Iterator[str]:
    """List what matches a pattern.

    ``glob`` would follow links to the folders they are in, through all of their combinations.
    """
    found = re.search(r'(?:^|(?<=/))\*\*(?:/+|$)', pattern)
    if found is None:
        yield from glob.glob(pattern)
        return
    before, after = pattern[: found.start()], pattern[found.end() :] or '*'
    seen: set[str] = set()
    for top in glob.glob(before) if before else ['']:
        for folder, below, _ in os.walk(top or '.', followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith('.'))
            if os.path.realpath(folder) in seen:
                below.clear()
                continue
            seen.add(os.path.realpath(folder))
            start = folder if top else os.path.relpath(folder, '.')
            yield from _matches(os.path.join('' if start == '.' else glob.escape(start), after))


def _images_among(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if is_image_name(path.name))
