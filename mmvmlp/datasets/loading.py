"""File backend that refuses damaged images.

OpenCV fills the missing part of a truncated file with grey, so that training on damaged data
continues silently.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import numpy.typing as npt
from mmengine import fileio
from mmengine.fileio.backends import BaseStorageBackend, register_backend
from PIL import Image

# Registers the backend of s3://.
import mmvmlp.datasets.object_store  # noqa: F401

BACKEND_NAME = 'mmvmlp'

END_MARKERS = {b'\xff\xd8\xff': b'\xff\xd9', b'\x89PNG': b'IEND'}
"""End markers of JPEG and PNG files, by their first bytes."""

TAIL_BYTES = 4096
"""Number of last bytes searched for the end marker, since some writers append data."""

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


class ImageReadError(OSError):
    """Error for a file that is missing, empty, truncated or not an image."""


@register_backend(BACKEND_NAME, force=True)
class CheckedImageBackend(BaseStorageBackend):
    """Reads image files and refuses damaged ones.

    For the toolboxes' own transform, which their inferencers look up by name::

        dict(type='LoadImageFromFile', backend_args=dict(backend='mmvmlp'))

    Args:
        storage: ``backend_args`` of the underlying storage; by default inferred from the path.
    """

    def __init__(self, storage: dict[str, Any] | None = None) -> None:
        self.storage = storage

    def get(self, filepath: str | Path) -> bytes:
        """Read an image file.

        Raises:
            ImageReadError: If the file cannot be read, is empty or truncated, or has
                floating-point pixels, whose range is unknown.
        """
        try:
            contents: bytes = fileio.get(filepath, backend_args=self.storage)
        except Exception as error:
            # Each storage raises different errors, some without the path.
            raise ImageReadError(f'image {str(filepath)!r} cannot be read: {error}') from error
        if not contents:
            raise ImageReadError(f'image {str(filepath)!r} is empty')
        for start, end in END_MARKERS.items():
            intact = not contents.startswith(start) or end in contents[-TAIL_BYTES:]
            # Phones append videos of any length.
            if not intact and not _is_decodable(contents):
                raise ImageReadError(f'image {str(filepath)!r} is truncated')
        if contents.startswith(TIFF_STARTS) and _has_float_pixels(contents):
            raise ImageReadError(
                f'image {str(filepath)!r} has floating-point pixels; accepted are 8-bit and 16-bit '
                'integers'
            )
        return contents

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a text file."""
        text: str = fileio.get_text(filepath, encoding, backend_args=self.storage)
        return text


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an image as the toolboxes do.

    Returns:
        BGR image of shape (H, W, 3).

    Raises:
        ImageReadError: If the file is missing, damaged or not an image.
    """
    image: npt.NDArray[np.uint8] | None = mmcv.imfrombytes(CheckedImageBackend().get(path))
    if image is None:
        raise ImageReadError(f'image {str(path)!r} is not an image, or is damaged')
    return image


def _is_decodable(contents: bytes) -> bool:
    try:
        with Image.open(BytesIO(contents)) as image:
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _has_float_pixels(contents: bytes) -> bool:
    try:
        with Image.open(BytesIO(contents)) as image:
            return image.mode == 'F'
    except (OSError, Image.DecompressionBombError):
        # Files that Pillow cannot open are left to the decoder.
        return False
