"""File backend of images: intact files are read, damaged ones are refused by name."""

import cv2
import mmcv.transforms
import numpy as np
import pytest

from mmvmlp.datasets.loading import ImageReadError, read_image

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
LOADER = mmcv.transforms.LoadImageFromFile(backend_args={'backend': 'mmvmlp'})


def load(path):
    """Read an image as a pipeline does."""
    return LOADER({'img_path': str(path)})['img']


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'bmp', 'tif', 'webp'])
def test_intact_files_are_read_as_by_the_toolboxes(tmp_path, suffix):
    path = tmp_path / f'image.{suffix}'
    cv2.imwrite(str(path), PIXELS)
    expected = mmcv.transforms.LoadImageFromFile()({'img_path': str(path)})['img']
    np.testing.assert_array_equal(load(path), expected)
    np.testing.assert_array_equal(read_image(path), expected)
    stored = mmcv.transforms.LoadImageFromFile(
        backend_args={'backend': 'mmvmlp', 'storage': {'backend': 'local'}}
    )
    np.testing.assert_array_equal(stored({'img_path': str(path)})['img'], expected)


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
@pytest.mark.parametrize('kept', [0, 0.3, 0.98])
def test_damaged_files_are_named(tmp_path, suffix, kept):
    path = tmp_path / f'image.{suffix}'
    cv2.imwrite(str(path), PIXELS)
    load(path)
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * kept)])
    for read in (load, read_image):
        with pytest.raises(ImageReadError, match=rf"image\.{suffix}' is (empty|truncated)"):
            read(path)


def test_data_after_the_end_of_an_image_is_accepted(tmp_path):
    path = tmp_path / 'phone.jpg'
    cv2.imwrite(str(path), PIXELS)
    expected = load(path)
    path.write_bytes(path.read_bytes() + bytes(10_000))
    np.testing.assert_array_equal(load(path), expected)


def test_missing_files_and_other_files_are_named(tmp_path):
    with pytest.raises(ImageReadError, match=r"none\.jpg' cannot be read"):
        load(tmp_path / 'none.jpg')
    path = tmp_path / 'text.jpg'
    path.write_text('no image')
    with pytest.raises(AssertionError, match=r'failed to load image: .*text\.jpg'):
        load(path)
    with pytest.raises(ImageReadError, match=r"text\.jpg' is not an image"):
        read_image(path)


def test_floating_point_pixels_are_refused(tmp_path):
    path = tmp_path / 'image.tif'
    for pixels in (PIXELS, PIXELS.astype(np.uint16) * 257):
        cv2.imwrite(str(path), pixels[..., 0])
        np.testing.assert_array_equal(load(path), np.repeat(PIXELS[..., :1], 3, axis=2))
    cv2.imwrite(str(path), PIXELS[..., 0].astype(np.float32) / 255)
    with pytest.raises(ImageReadError, match='floating-point pixels; accepted are 8-bit'):
        load(path)
