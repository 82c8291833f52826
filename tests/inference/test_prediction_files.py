"""Drawings have names of their own, and no run replaces an image or leaves half a result."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvmlp.inference.prediction_files import drawing_names, predict_files
from mmvmlp.inference.predictors import Outcome


def write_images(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    return paths


class FindsNothing:
    task = 'detection'

    def __init__(self, fail_at=None):
        self.calls = 0
        self.fail_at = fail_at

    def __call__(self, image):
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError('out of memory')
        return Outcome({'detections': []}, image)


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        (['x/1.jpg', 'x/2.jpg'], ['1', '2']),
        (['x/1.jpg', 'y/1.jpg', 'y/2.jpg'], ['x_1', 'y_1', '2']),
        (['x/z/1.jpg', 'y/z/1.jpg'], ['x_z_1', 'y_z_1']),
        (['x/1.jpg', 'x/1.png'], None),
        (['x/1.jpg', 'y/1.jpg', 'z/x_1.jpg'], None),
        (['x/a.jpg', 'x/A.jpg'], None),
    ],
)
def test_drawings_have_different_names(images, expected):
    names = drawing_names([Path(image) for image in images])
    assert len({name.casefold() for name in names}) == len(images)
    assert all('/' not in name for name in names)
    if expected:
        assert names == expected


def test_an_image_is_never_replaced_by_its_drawing(tmp_path):
    (image,) = write_images(tmp_path, 'a.jpg')
    before = image.read_bytes()
    with pytest.raises(ValueError, match=r'would replace it'):
        predict_files(FindsNothing(), [image], tmp_path, progress=False)
    assert image.read_bytes() == before


def test_a_failure_in_the_middle_leaves_whole_drawings_and_no_json(tmp_path):
    images = write_images(tmp_path / 'in', 'a.jpg', 'b.jpg', 'c.jpg')
    with pytest.raises(RuntimeError, match='out of memory'):
        predict_files(FindsNothing(fail_at=3), images, tmp_path / 'out', progress=False)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.jpg', 'b.jpg']
    assert all(cv2.imread(str(path)) is not None for path in (tmp_path / 'out').iterdir())
