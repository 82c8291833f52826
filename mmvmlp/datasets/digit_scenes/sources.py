"""Source images: scans of handwritten digits, and photographs, split into train and val.

Both are part of scikit-learn, so nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal['train', 'val']
SPLITS: tuple[Split, ...] = ('train', 'val')

# Every writer filled in a form with the same text (0 to 9 three times, then a hundred digits), and
# scikit-learn keeps the scans in the order of the forms. Forms start at these scans.
FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
FIRST_VAL_FORM = 11

LICENSE_NAME = 'Creative Commons Attribution 2.0 Generic (CC BY 2.0)'
LICENSE_URL = 'https://creativecommons.org/licenses/by/2.0/'


@dataclass(frozen=True)
class DigitScans:
    """Scanned digits of one split.

    Attributes:
        images: Stroke coverage in [0, 1], shape (N, 8, 8).
        labels: Digits, 0 to 9, shape (N,).
        indices: Indices in scikit-learn's 1797 scans, shape (N,).
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Photograph:
    """A photograph from scikit-learn, and the split of its columns.

    Attributes:
        file_name: File name in scikit-learn.
        title: Title.
        author: Flickr name of the photographer.
        page: URL of the photograph.
        columns: First column and column after the last, by split. They are multiples of 16, the
            JPEG block with subsampled chroma, so that no compressed block is in both splits.
    """

    file_name: str
    title: str
    author: str
    page: str
    columns: dict[Split, tuple[int, int]]


PHOTOGRAPHS = (
    Photograph(
        file_name='china.jpg',
        title='Pagoda above a lake',
        author='danielbuechele',
        page='https://www.flickr.com/photos/danielbuechele/6061409035/',
        columns={'train': (0, 416), 'val': (416, 640)},
    ),
    Photograph(
        file_name='flower.jpg',
        title='Orange dahlia',
        author='vultilion',
        page='https://www.flickr.com/photos/vultilion/6056698931/',
        columns={'train': (256, 640), 'val': (0, 256)},
    ),
)


@cache
def load_digit_scans(split: Split) -> DigitScans:
    """Load the scans of one split; no form has scans in both.

    Args:
        split: 'train' for the first eleven forms (1415 scans), 'val' for the last three (382).

    Returns:
        The scans in scikit-learn's order.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    first_val_scan = FORM_STARTS[FIRST_VAL_FORM]
    chosen = slice(0, first_val_scan) if split == 'train' else slice(first_val_scan, None)
    return DigitScans(
        images=(data.images[chosen] / 16).astype(np.float32),
        labels=data.target[chosen].astype(np.int64),
        indices=np.arange(len(data.target), dtype=np.int64)[chosen],
    )


@cache
def load_photograph_regions(split: Split) -> tuple[npt.NDArray[np.uint8], ...]:
    """Load the part of each photograph that belongs to one split.

    Args:
        split: 'train' or 'val'; their parts do not overlap.

    Returns:
        RGB images of shape (427, columns, 3), one for each of `PHOTOGRAPHS`.
    """
    from sklearn.datasets import load_sample_image

    regions = []
    for photograph in PHOTOGRAPHS:
        start, stop = photograph.columns[split]
        image = np.asarray(load_sample_image(photograph.file_name), dtype=np.uint8)
        regions.append(np.ascontiguousarray(image[:, start:stop]))
    return tuple(regions)


def attribution() -> str:
    """Return the authors, licences and changes of photographs and scans.

    Returns:
        Plain text, which CC BY 2.0 requires with every copy.
    """
    photographs = '\n'.join(
        f'- "{photograph.title}" by {photograph.author}, {photograph.page}\n'
        f"  (scikit-learn's sample image {photograph.file_name})"
        for photograph in PHOTOGRAPHS
    )
    return (
        'The backgrounds of these images are parts of two photographs:\n\n'
        f'{photographs}\n\n'
        f'Both are licensed under {LICENSE_NAME},\n{LICENSE_URL}\n\n'
        'Changes made: cropped, resized, mirrored, brightness and contrast changed, and\n'
        'handwritten digits drawn over them. The photographers endorse neither this data nor\n'
        'its use.\n\n'
        'The digits are scans from "Optical Recognition of Handwritten Digits" by E. Alpaydin\n'
        'and C. Kaynak (UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49),\n'
        f'licensed under CC BY 4.0, https://creativecommons.org/licenses/by/4.0/, as distributed\n'
        'with scikit-learn. Changes made: enlarged, smoothed, rotated, stretched and coloured.\n'
    )
