"""File backend that refuses damaged and very large images.

OpenCV fills the missing part of a truncated file with grey, so that training on damaged data
continues silently; and it decodes a small file of billions of pixels until memory ends.
"""

import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import numpy.typing as npt
from mmengine import fileio
from mmengine.fileio.backends import BaseStorageBackend, register_backend
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

# Registers the backend of s3://.
import mmvmlp.datasets.object_store  # noqa: F401
from mmvmlp.datasets.decoder_warnings import catch_decoder_warnings

BACKEND_NAME = 'mmvmlp'

END_MARKERS = {b'\xff\xd8\xff': b'\xff\xd9', b'\x89PNG': b'IEND'}
"""End markers of JPEG and PNG files, by their first bytes."""

TAIL_BYTES = 4096
"""Number of last bytes searched for the end marker, since some writers append data."""

FORMATS = ('JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'PPM', 'GIF', 'JPEG2000', 'AVIF', 'SUN')
"""Formats, as Pillow names them, that OpenCV decodes too."""

JPEG_START = b'\xff\xd8\xff'

ANIMATION = b'acTL'
"""Chunk of a PNG file with several pictures."""

MAX_PIXELS = 178_956_970
"""Largest number of pixels that is decoded by default, as in Pillow: half a gigabyte."""

OPENCV_MAX_PIXELS = 2**30

MAX_PIXELS_VARIABLE = 'MMVMLP_MAX_PIXELS'
"""Environment variable with another number."""


class ImageReadError(OSError):
    """Error for a file that is missing, empty, truncated, too large or not an image."""


class DamagedImageWarning(UserWarning):
    """Warning about an image that was decoded, although a part of its file is damaged."""


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
            ImageReadError: If the file cannot be read, or :func:`check_contents` refuses it.
        """
        try:
            contents: bytes = fileio.get(filepath, backend_args=self.storage)
        except Exception as error:
            # Each storage raises different errors, some without the path.
            raise ImageReadError(f'image {str(filepath)!r} cannot be read: {error}') from error
        check_contents(contents, filepath)
        return contents

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a text file."""
        text: str = fileio.get_text(filepath, encoding, backend_args=self.storage)
        return text


def max_pixels() -> int:
    """Return the largest number of pixels that is decoded.

    Raises:
        ValueError: If the environment variable is not a number that OpenCV accepts.
    """
    given = os.environ.get(MAX_PIXELS_VARIABLE, str(MAX_PIXELS))
    if not given.isdecimal() or not 0 < int(given) <= OPENCV_MAX_PIXELS:
        raise ValueError(
            f'{MAX_PIXELS_VARIABLE}={given!r}: accepted are 1 to {OPENCV_MAX_PIXELS} pixels'
        )
    return int(given)


def check_contents(contents: bytes, name: str | Path, most_pixels: int | None = None) -> None:
    """Check an image file without decoding it.

    Args:
        contents: Of the file.
        name: Name for errors.
        most_pixels: Largest number of pixels that is accepted; by default :func:`max_pixels`.

    Raises:
        ImageReadError: If the file is empty, truncated, not an image, a damaged animation, or has
            more pixels than are accepted or floating-point pixels, whose range is unknown.
    """
    image = f'image {str(name)!r}'
    if not contents:
        raise ImageReadError(f'{image} is empty')
    cut = any(
        contents.startswith(start) and end not in contents[-TAIL_BYTES:]
        for start, end in END_MARKERS.items()
    )
    header = _header(contents)
    if header is None:
        raise ImageReadError(f'{image} is {"truncated" if cut else "not an image, or is damaged"}')
    width, height, mode = header
    size = f'{image} is {width} pixels wide and {height} high'
    if most_pixels is not None and width * height > most_pixels:
        raise ImageReadError(f'{size}; at most {most_pixels:,} pixels are accepted')
    if width * height > max_pixels():
        raise ImageReadError(
            f'{size}; at most {max_pixels():,} pixels are decoded: set {MAX_PIXELS_VARIABLE} to '
            'accept it, and predict it with --tile'
        )
    # Phones append videos of any length.
    if cut and not _is_decodable(contents):
        raise ImageReadError(f'{image} is truncated')
    # OpenCV crashes on such files.
    if ANIMATION in contents and b'PNG' in contents[:8] and not _has_valid_sums(contents):
        raise ImageReadError(f'{image} is a damaged animation')
    if mode == 'F':
        raise ImageReadError(
            f'{image} has floating-point pixels; accepted are 8-bit and 16-bit integers'
        )


def decode_image(contents: bytes, name: str | Path) -> tuple[npt.NDArray[np.uint8], str | None]:
    """Decode an image file as the toolboxes do.

    Args:
        contents: Of the file; :func:`check_contents` has accepted it.
        name: Name for errors.

    Returns:
        BGR image of shape (H, W, 3), and what the decoder says about damage, if it does.

    Raises:
        ImageReadError: If the file cannot be decoded.
    """
    damage: str | None = None
    if contents.startswith(JPEG_START):
        image, damage = catch_decoder_warnings(lambda: mmcv.imfrombytes(contents))
    else:
        image = mmcv.imfrombytes(contents)
    if image is None:
        raise ImageReadError(f'image {str(name)!r} is not an image, or is damaged')
    if damage is not None:
        damage = f'image {str(name)!r} is damaged, and some of its pixels are wrong: {damage}'
    return image, damage


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an image as the toolboxes do.

    Returns:
        BGR image of shape (H, W, 3).

    Raises:
        ImageReadError: If the file is missing, damaged, too large or not an image.
    """
    image, damage = decode_image(CheckedImageBackend().get(path), path)
    if damage is not None:
        warnings.warn(damage, DamagedImageWarning, stacklevel=2)
    return image


def _header(contents: bytes) -> tuple[int, int, str] | None:
    """Read width, height and Pillow's mode, or return None if it is no image."""
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        # Not `Image.open`, which has a bound of its own, for the whole process.
        if factory is not None and (accept is None or accept(contents[:16]) is True):
            try:
                with factory(BytesIO(contents), '') as image:
                    return image.width, image.height, image.mode
            except Exception:
                # Pillow raises many kinds of errors for damaged headers.
                continue
    return None


def _has_valid_sums(contents: bytes) -> bool:
    """Compare the CRC-32 sums of a PNG file."""
    try:
        with PngImageFile(BytesIO(contents)) as image:
            image.verify()
    except Exception:
        # As in `_header`.
        return False
    return True


def _is_decodable(contents: bytes) -> bool:
    try:
        with Image.open(BytesIO(contents)) as image:
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return False
    return True
