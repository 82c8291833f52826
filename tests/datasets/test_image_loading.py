"""File backend of images: intact files are read, damaged ones are refused by name."""

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import mmcv.transforms
import numpy as np
import pytest
from PIL import Image

from mmvmlp.datasets.loading import (
    MAX_PIXELS_VARIABLE,
    DamagedImageWarning,
    ImageReadError,
    decode_image,
    read_image,
)

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
    for read in (load, read_image):
        with pytest.raises(ImageReadError, match=r"text\.jpg' is not an image"):
            read(path)


def test_floating_point_pixels_are_refused(tmp_path):
    path = tmp_path / 'image.tif'
    for pixels in (PIXELS, PIXELS.astype(np.uint16) * 257):
        cv2.imwrite(str(path), pixels[..., 0])
        np.testing.assert_array_equal(load(path), np.repeat(PIXELS[..., :1], 3, axis=2))
    cv2.imwrite(str(path), PIXELS[..., 0].astype(np.float32) / 255)
    with pytest.raises(ImageReadError, match='floating-point pixels; accepted are 8-bit'):
        load(path)


def bomb(width, height):
    """A PNG of a few bytes whose header asks for a large image."""
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))]
    chunks += [(b'IDAT', zlib.compress(b'')), (b'IEND', b'')]
    parts = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def test_more_pixels_than_the_bound_are_refused_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / 'bomb.png'
    path.write_bytes(bomb(20_000, 20_000))
    for read in (load, read_image):
        with pytest.raises(
            ImageReadError, match=r"bomb\.png' is 20000 pixels wide and 20000.*--tile"
        ):
            read(path)
    cv2.imwrite(str(path), PIXELS)
    read_image(path)
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, '1199')
    with pytest.raises(ImageReadError, match='is 30 pixels wide and 40 high; at most 1,199'):
        load(path)
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, '1200')
    load(path)
    for value in ('all', '0', '1073741825'):
        monkeypatch.setenv(MAX_PIXELS_VARIABLE, value)
        with pytest.raises(ValueError, match=f"MAX_PIXELS='{value}': accepted are 1 to 1073741824"):
            load(path)


@pytest.mark.parametrize(
    ('name', 'mode'),
    [
        *(('grey.png', 'L'), ('16.png', 'I;16'), ('cmyk.jpg', 'CMYK'), ('palette.png', 'P')),
        *(('palette.gif', 'P'), ('bits.png', '1'), ('alpha.png', 'RGBA'), ('16.tif', 'I;16')),
    ],
)
def test_other_kinds_of_pixels_are_read_in_colour(tmp_path, name, mode):
    image = Image.fromarray(np.full((40, 30), 200, np.uint8)).convert(
        mode if len(mode) < 5 else 'L'
    )
    if mode == 'I;16':
        image = Image.fromarray(np.full((40, 30), 200 * 257, np.uint16))
    image.save(tmp_path / name)
    for read in (load, read_image):
        pixels = read(tmp_path / name)
        assert pixels.shape == (40, 30, 3) and pixels.dtype == np.uint8
        assert abs(int(pixels.mean()) - (255 if mode == '1' else 200)) <= 56


def test_the_first_picture_of_an_animation_is_read(tmp_path):
    frames = [Image.fromarray(np.full((40, 30, 3), level, np.uint8)) for level in (50, 200)]
    for name in ('moving.webp', 'moving.png'):
        options = {'lossless': True} if name.endswith('webp') else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert (read_image(tmp_path / name) == 50).all()


def damaged(contents):
    """Flip bits in the middle, and zero what follows."""
    middle = len(contents) // 2
    return contents[:middle] + b'\x55' + bytes(40) + contents[middle + 41 :]


def test_damaged_animations_are_refused(tmp_path):
    path = tmp_path / 'animation.png'
    pictures = [Image.fromarray(np.roll(PIXELS, shift, 0)).convert('P') for shift in range(3)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    whole = path.read_bytes()
    read_image(path)
    # OpenCV ends the process with a segmentation fault for many of these.
    for position in range(whole.index(b'IDAT') + 4, len(whole) - 20, 97):
        path.write_bytes(whole[:position] + bytes(4) + whole[position + 4 :])
        with pytest.raises(ImageReadError, match=r"animation\.png' is a damaged animation"):
            read_image(path)


def test_a_damaged_stretch_is_warned_of_by_name(tmp_path, capfd):
    path = tmp_path / 'scene.jpg'
    large = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    cv2.imwrite(str(path), large)
    whole = path.read_bytes()
    path.write_bytes(damaged(whole))
    with pytest.warns(DamagedImageWarning, match=r"scene\.jpg' is damaged.*Corrupt JPEG data"):
        read_image(path)
    contents = [whole if index % 5 else damaged(whole) for index in range(40)]
    os.write(2, b'before ')
    with ThreadPoolExecutor(6) as pool:
        decoded = list(pool.map(decode_image, contents, map(str, range(40))))
    os.write(2, b'after')
    found = [index for index, (_, warning) in enumerate(decoded) if warning]
    assert found == list(range(0, 40, 5))
    assert all(f"image '{index}' is damaged" in decoded[index][1] for index in found)
    assert capfd.readouterr().err == 'before after'
