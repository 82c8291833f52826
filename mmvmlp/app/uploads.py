"""Limits of uploaded images."""

import re
from pathlib import PurePath

import mmcv

from mmvmlp.datasets.loading import ImageReadError, check_contents, decode_image
from mmvmlp.visualization.drawing import ImageArray

MEGABYTE = 1024**2
MOST_BYTES = 20 * MEGABYTE
"""Size of the largest file that is accepted."""

MOST_PIXELS = 25_000_000
"""Largest image that is decoded."""

LONGEST_SIDE = 2048
"""Larger images are shrunk to this many pixels, so that a hundred masks of them fit in memory."""


class Refused(ValueError):
    """Error for a request that the app refuses.

    Args:
        message: For the browser, so it names nothing of this machine.
        status: Status of HTTP that says so.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_size(size: int) -> None:
    """Check the size of a file in bytes.

    Raises:
        Refused: If it is too large.
    """
    if size > MOST_BYTES:
        raise Refused(
            f'The file has {size / MEGABYTE:.1f} MB; at most {MOST_BYTES // MEGABYTE} MB are '
            'accepted.',
            413,
        )


def check_name(name: str) -> None:
    """Check the name of an uploaded file, as the browser gives it.

    Raises:
        Refused: If it is a path.
    """
    if name in ('', '.', '..') or re.search(r'[/\\\0]', name):
        raise Refused('The name of the file is a path; a name without folders is accepted.')


def decode_upload(name: str, contents: bytes) -> tuple[ImageArray, str]:
    """Check an image file, decode it, and shrink it if it is large.

    Args:
        name: Its name, for errors; of a path, the last part.
        contents: Of the file.

    Returns:
        BGR image of shape (H, W, 3), and remarks on it, or nothing.

    Raises:
        Refused: If it is too large, damaged or not an image.
    """
    check_size(len(contents))
    name = re.sub(r'[^\w .()-]', '_', PurePath(name).name)[-60:]
    try:
        check_contents(contents, name, MOST_PIXELS)
        image, damage = decode_image(contents, name)
    except ImageReadError as error:
        raise Refused(_sentence(str(error)), 415) from error
    remarks = [] if damage is None else [_sentence(damage)]
    height, width = image.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        image = mmcv.imrescale(image, (LONGEST_SIDE, LONGEST_SIDE), interpolation='area')
        remarks.append(f'Shrunk from {width}×{height} to {image.shape[1]}×{image.shape[0]} pixels.')
    return image, ' '.join(remarks)


def _sentence(text: str) -> str:
    return f'{text[:1].upper()}{text[1:]}.'
