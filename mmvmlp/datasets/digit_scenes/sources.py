"""The raw material: scans of handwritten digits and photographs, split into train and val.

Both come with scikit-learn, so nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal['train', 'val']
SPLITS: tuple[Split, ...] = ('train', 'val')

# Every writer filled in one form with the same text (0 to 9 three times, then a hundred digits),
# and scikit-learn keeps the scans in the forms' order. The text starts anew at these scans.
FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
FIRST_VAL_FORM = 11

LICENSE_NAME = 'Creative Commons Attribution 2.0 Generic (CC BY 2.0)'
LICENSE_URL = 'https://creativecommons.org/licenses/by/2.0/'


@dataclass(frozen=True)
class DigitScans:
    """Scanned digits of one split.

    Attributes:
        images: Stroke coverage in [0, 1], shape (N, 8, 8).
        labels: The digit written, 0 to 9, shape (N,).
        indices: Position in scikit-learn's 1797 scans, shape (N,).
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Photograph:
    """A photograph of scikit-learn's and how its columns are shared out.

    Attributes:
        file_name: Its name within scikit-learn.
        title: What it shows.
        author: Flickr name of the photographer.
        page: Address of the photograph.
        columns: Per split, first column and the column after the last one. The limits are
            multiples of 16, the JPEG block with halved chroma, so that no compressed block is
            in two splits.
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
        split: 'train' has the first eleven forms (1415 scans), 'val' the last three (382 scans).

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
        split: 'train' or 'val'; their parts share no pixel.

    Returns:
        One RGB picture of shape (427, columns, 3) for each of `PHOTOGRAPHS`.
    """
    from sklearn.datasets import load_sample_image

    regions = []
    for photograph in PHOTOGRAPHS:
        start, stop = photograph.columns[split]
        picture = np.asarray(load_sample_image(photograph.file_name), dtype=np.uint8)
        regions.append(np.ascontiguousarray(picture[:, start:stop]))
    return tuple(regions)


def attribution() -> str:
    """Say whose pictures and scans these are, under which licence, and what was changed.

    Returns:
        Plain text of several lines, as CC BY 2.0 asks to accompany every copy.
    """
    photographs = '\n'.join(
        f'- "{photograph.title}" by {photograph.author}, {photograph.page}\n'
        f"  (scikit-learn's sample image {photograph.file_name})"
        for photograph in PHOTOGRAPHS
    )
    return (
        'The backgrounds of these pictures are parts of two photographs:\n\n'
        f'{photographs}\n\n'
        f'Both are licensed under {LICENSE_NAME},\n{LICENSE_URL}\n\n'
        'Changes made: cut into crops, resized, mirrored, brightness and contrast changed, and\n'
        'handwritten digits drawn over them. The photographers endorse neither this data nor\n'
        'its use.\n\n'
        'The digits are scans from "Optical Recognition of Handwritten Digits" by E. Alpaydin\n'
        'and C. Kaynak (UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49),\n'
        f'licensed under CC BY 4.0, https://creativecommons.org/licenses/by/4.0/, as distributed\n'
        'with scikit-learn. Changes made: enlarged, smoothed, turned, stretched and coloured.\n'
    )
