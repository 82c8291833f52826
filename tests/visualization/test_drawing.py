"""Drawings show what they are given, where it is."""

import numpy as np
import pytest
from PIL import Image

from mmvmlp.visualization.drawing import (
    Comparison,
    Instances,
    class_colour,
    draw_class_map,
    draw_comparisons,
    draw_instances,
    draw_lines_of_text,
    enlargement,
    save_picture,
)

NAMES = tuple('0123456789')


def one_instance(**changes):
    mask = np.zeros((1, 100, 200), dtype=bool)
    mask[0, 40:60, 80:120] = True
    values = {
        'boxes': np.array([[80, 40, 120, 60]], dtype=np.float32),
        'labels': np.array([3]),
        'scores': np.array([0.9], dtype=np.float32),
        'masks': mask,
    }
    return Instances(**{**values, **changes})


def no_instances():
    empty = np.zeros(0, dtype=np.float32)
    return Instances(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), empty)


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
    drawn = draw_instances(grey, one_instance(masks=None), NAMES)
    assert (drawn[50, 100] == 128).all()
    assert (drawn[50, 80] == class_colour(3, len(NAMES))).all()


def test_nothing_found_leaves_the_image(grey):
    assert (draw_instances(grey, no_instances(), NAMES) == grey).all()


def test_names_and_scores_stay_in_the_image_and_apart(grey):
    """In the corners there is room on one side only; text outside would be lost."""
    boxes = np.array([[0, 0, 12, 12], [188, 0, 200, 12], [0, 88, 12, 100], [188, 88, 200, 100]])
    plain = np.full_like(grey, 255)
    instances = Instances(boxes.astype(np.float32), np.arange(4), np.full(4, 0.5, np.float32))
    drawn = draw_instances(plain, instances, NAMES)
    for label in range(4):
        tagged = (drawn == class_colour(label, len(NAMES))).all(axis=2)
        assert tagged.sum() > 250, 'the background of a tag'


def test_instances_above_a_threshold():
    instances = Instances(
        boxes=np.arange(12, dtype=np.float32).reshape(3, 4),
        labels=np.arange(3),
        scores=np.array([0.9, 0.3, 0.2], dtype=np.float32),
        masks=np.zeros((3, 5, 5), dtype=bool),
    )
    kept = instances.above(0.25)
    assert len(kept) == 2
    assert kept.labels.tolist() == [0, 1]
    assert kept.boxes.shape == (2, 4)
    assert kept.masks.shape == (2, 5, 5)


@pytest.mark.parametrize('num_classes', [10, 80])
def test_classes_have_different_colours(num_classes):
    colours = [class_colour(label, num_classes) for label in range(num_classes)]
    assert len(set(colours)) == num_classes


@pytest.mark.parametrize(('shape', 'factor'), [((192, 192), 2), ((64, 64), 8), ((800, 1333), 1)])
def test_only_small_images_are_enlarged(shape, factor):
    assert enlargement(shape) == factor


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_a_contact_sheet_holds_every_pair(grey, count):
    shades = [np.full_like(grey, 40 + 20 * index) for index in range(count)]
    comparisons = [Comparison(shade, one_instance(scores=None), no_instances()) for shade in shades]
    sheet = draw_comparisons(comparisons, NAMES, 'title', pairs_per_row=3, tile=200)
    for index in range(count):
        shown = (sheet == 40 + 20 * index).all(axis=2).sum()
        assert 1.8 * 20_000 - 4000 < shown <= 2 * 20_000


def test_an_empty_contact_sheet_is_refused():
    with pytest.raises(ValueError, match='no image to draw'):
        draw_comparisons([], NAMES, 'title')


def test_a_class_map_is_blended_in_the_colours_of_the_classes(grey):
    indices = np.zeros((100, 200), dtype=np.uint8)
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


def test_lines_of_text_are_readable(grey):
    drawn = draw_lines_of_text(grey, ['0.912  cat', '0.050  dog'])
    assert drawn.max() > 240
    assert (drawn[-20:] == 128).all()


@pytest.mark.parametrize('name', ['picture.png', 'picture.jpg'])
def test_a_saved_picture_replaces_the_one_before_and_leaves_nothing_else(tmp_path, grey, name):
    file = tmp_path / name
    file.write_text('before')
    save_picture(grey, file)
    assert np.abs(np.asarray(Image.open(file)).astype(int) - 128).max() <= 1
    assert [path.name for path in tmp_path.iterdir()] == [name]
