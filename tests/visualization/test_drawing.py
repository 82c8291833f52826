"""Drawings show what they are given, where it is."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from PIL import Image

from mmvmlp.visualization.contact_sheet import Comparison, draw_comparisons
from mmvmlp.visualization.drawing import (
    class_colour,
    draw_class_map,
    draw_instances,
    draw_text,
    enlargement,
    save_image,
)

NAMES = tuple('0123456789')


def one_instance(*without):
    mask = np.zeros((1, 100, 200), dtype=bool)
    mask[0, 40:60, 80:120] = True
    values = {
        'bboxes': np.array([[80, 40, 120, 60]], dtype=np.float32),
        'labels': np.array([3]),
        'scores': np.array([0.9], dtype=np.float32),
        'masks': mask,
    }
    return InstanceData(**{key: value for key, value in values.items() if key not in without})


def no_instances():
    return InstanceData(
        bboxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        scores=np.zeros(0, np.float32),
        masks=np.zeros((0, 100, 200), bool),
    )


@pytest.fixture
def grey():
    return np.full((100, 200, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize('scale', [1, 3, 2.5, 0.5])
def test_a_mask_is_filled_with_its_colour_and_what_is_far_stays(grey, scale):
    drawn = draw_instances(grey, one_instance(), NAMES, scale)
    assert drawn.shape == (round(100 * scale), round(200 * scale), 3)
    centre = drawn[round(50 * scale), round(100 * scale)].astype(int)
    colour = np.array(class_colour(3, len(NAMES)))
    assert np.abs(centre - (0.6 * 128 + 0.4 * colour)).max() <= 1
    assert (drawn[round(80 * scale) :, : round(50 * scale)] == 128).all()
    assert (grey == 128).all()


def test_boxes_are_drawn_without_masks(grey):
    drawn = draw_instances(grey, one_instance('masks'), NAMES)
    assert (drawn[50, 100] == 128).all()
    assert (drawn[50, 80] == class_colour(3, len(NAMES))).all()


def test_nothing_found_leaves_the_image(grey):
    assert (draw_instances(grey, no_instances(), NAMES) == grey).all()


def test_names_and_scores_stay_in_the_image_and_apart(grey):
    """In the corners there is room on one side only; text outside would be lost."""
    boxes = np.array([[0, 0, 12, 12], [188, 0, 200, 12], [0, 88, 12, 100], [188, 88, 200, 100]])
    plain = np.full_like(grey, 255)
    instances = InstanceData(
        bboxes=boxes.astype(np.float32), labels=np.arange(4), scores=np.full(4, 0.5, np.float32)
    )
    drawn = draw_instances(plain, instances, NAMES)
    for label in range(4):
        tagged = (drawn == class_colour(label, len(NAMES))).all(axis=2)
        assert tagged.sum() > 250, 'the background of a name'


@pytest.mark.parametrize('shape', [(1, 1), (3, 900), (900, 3)])
@pytest.mark.parametrize('names', [NAMES, ()])
def test_images_of_any_shape_and_classes_without_names(shape, names):
    image = np.zeros((*shape, 3), np.uint8)
    scale = enlargement(shape)
    instances = InstanceData(
        bboxes=np.array([[0, 0, shape[1], shape[0]]], np.float32),
        labels=np.array([9]),
        scores=np.array([0.5], np.float32),
        masks=np.ones((1, *shape), bool),
    )
    sides = tuple(side * scale for side in shape)
    for drawn in (
        draw_instances(image, instances, names, scale),
        draw_class_map(image, np.full(shape, 9, np.uint8), names, scale=scale),
        draw_text(image, '0.9  cat\n0.1  dog', scale),
    ):
        assert drawn.shape == (*sides, 3)
        assert drawn.max() > 20


@pytest.mark.parametrize('num_classes', [10, 80])
def test_classes_have_different_colours(num_classes):
    colours = [class_colour(label, num_classes) for label in range(num_classes)]
    assert len(set(colours)) == num_classes


@pytest.mark.parametrize(('shape', 'factor'), [((192, 192), 2), ((64, 64), 8), ((800, 1333), 1)])
def test_only_small_images_are_enlarged(shape, factor):
    assert enlargement(shape) == factor


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_a_contact_sheet_holds_every_pair(grey, count):
    """Pixel by pixel: a drawing that were resampled would have other shades, too."""
    shades = [np.full_like(grey, 40 + 20 * index) for index in range(count)]
    annotated = one_instance('scores')
    comparisons = [Comparison(shade, annotated, no_instances()) for shade in shades]
    sheet = draw_comparisons(comparisons, NAMES, 'title', pairs_per_row=3, tile=200)
    for index, shade in enumerate(shades):
        shown = (sheet == 40 + 20 * index).all(axis=2).sum()
        drawn = (draw_instances(shade, annotated, NAMES) == 40 + 20 * index).all(axis=2).sum()
        # Letters have a few pixels of any shade.
        assert 0 <= shown - 20_000 - drawn < 50


def test_a_contact_sheet_holds_upright_and_wide_images(grey):
    upright = np.full((200, 100, 3), 60, dtype=np.uint8)
    comparisons = [Comparison(image, no_instances(), no_instances()) for image in (grey, upright)]
    sheet = draw_comparisons(comparisons, NAMES, 'title', tile=200)
    for shade in (128, 60):
        assert 0 <= (sheet == shade).all(axis=2).sum() - 2 * 20_000 < 50


def test_an_empty_contact_sheet_is_refused():
    with pytest.raises(ValueError, match='no image to draw'):
        draw_comparisons([], NAMES, 'title')


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_class_map_is_blended_in_the_colours_of_the_classes(grey, dtype):
    indices = np.zeros((100, 200), dtype=dtype)
    indices[:, 100:] = 3
    indices[0, 0] = 2
    palette = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    drawn = draw_class_map(grey, indices, ('sky', 'ground', 'water', 'tree'), palette, scale=2)
    assert drawn.shape == (200, 400, 3)
    assert drawn[190, 10].tolist() == [192, 64, 64]
    # A class beyond the palette has a colour all the same.
    expected = (128 + np.array(class_colour(3, 4))) / 2
    assert np.abs(drawn[190, 390] - expected).max() <= 1
    assert drawn[0, 0].tolist() == [64, 64, 192]


def test_a_class_map_names_thick_regions_and_not_thin_ones(grey):
    """The background of a name has the colour itself, which is nowhere else."""
    indices = np.full((100, 200), 300, dtype=np.uint16)
    indices[:, 100:] = 301
    indices[::20] = 302
    palette = [(0, 0, 0)] * 300 + [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    drawn = draw_class_map(grey, indices, ('class',) * 303, palette)
    assert (drawn == palette[300]).all(axis=2).sum() > 250
    assert (drawn == palette[301]).all(axis=2).sum() > 250
    assert not (drawn == palette[302]).all(axis=2).any()


def test_lines_of_text_are_readable(grey):
    drawn = draw_text(grey, '0.912  cat\n0.050  dog')
    assert drawn.max() > 240
    assert (drawn[-20:] == 128).all()


@pytest.mark.parametrize('name', ['image.png', 'image.jpg'])
def test_a_saved_image_replaces_the_one_before_and_leaves_nothing_else(tmp_path, grey, name):
    file = tmp_path / name
    file.write_text('before')
    grey[..., 0] = 200
    save_image(grey, file)
    assert np.abs(np.asarray(Image.open(file)).astype(int) - grey).max() <= 1
    assert [path.name for path in tmp_path.iterdir()] == [name]
