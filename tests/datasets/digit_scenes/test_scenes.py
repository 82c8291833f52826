"""Scenes: masks match images, and scenes are varied and reproducible."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvmlp.datasets.digit_scenes import Scene, compose_clutter, compose_scene, scenes
from mmvmlp.datasets.digit_scenes.sources import SPLITS, Split, load_digit_scans

sides = st.integers(64, 320)


def compose(
    index: int, split: Split = 'train', size: tuple[int, int] = (192, 192), seed: int = 0
) -> Scene:
    return compose_scene(
        split, index, seed=seed, size=size, digits_per_scene=(3, 6), digit_height=(0.25, 0.45)
    )


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SPLITS), st.integers(0, 10**6), sides, sides, st.integers(0, 2**63 - 1))
def test_scene_of_any_size(split: Split, index: int, height: int, width: int, seed: int) -> None:
    scene = compose(index, split, (height, width), seed)
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert 1 <= len(scene.digits) <= 7
    owners = np.zeros((height, width), dtype=int)
    for digit in scene.digits:
        assert digit.mask.shape == (height, width)
        owners += digit.mask
        rows, columns = np.nonzero(digit.mask)
        left, top, box_width, box_height = digit.box
        assert (left, top) == (columns.min(), rows.min())
        assert (left + box_width - 1, top + box_height - 1) == (columns.max(), rows.max())
        assert load_digit_scans(split).labels[digit.scan - load_digit_scans(split).indices[0]] == (
            digit.label
        )
    assert owners.max() <= 1


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(32, 320),
    st.integers(32, 320),
    st.sampled_from([(0.5, 0.8), (0.75, 0.95), (0.95, 0.95)]),
    st.integers(0, 9),
)
def test_clutter_of_any_size(
    index: int, height: int, width: int, digit_height: tuple[float, float], label: int
) -> None:
    scene = compose_clutter(
        'val',
        index,
        seed=0,
        size=(height, width),
        digits_per_scene=(1, 5),
        digit_height=digit_height,
        label=label,
    )
    assert scene.image.shape == (height, width, 3)
    (digit,) = scene.digits
    assert digit.label == label
    assert digit.mask.any()


def test_clutter_has_the_requested_number_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = scenes._draw_glyph
    monkeypatch.setattr(
        scenes, '_draw_glyph', lambda *arguments: drawn.append(arguments) or draw(*arguments)
    )
    for requested in ((1, 1), (3, 5)):
        counts = set()
        for index in range(30):
            drawn.clear()
            compose_clutter(
                'train',
                index,
                seed=0,
                size=(64, 64),
                digits_per_scene=requested,
                digit_height=(0.5, 0.8),
                label=7,
            )
            counts.add(len(drawn))
        assert counts == set(range(requested[0], requested[1] + 1))


def test_scene_has_the_requested_number_of_digits() -> None:
    counts = [len(compose(index).digits) for index in range(60)]
    assert set(counts) == {3, 4, 5, 6}


def test_scenes_are_varied() -> None:
    scenes = [compose(index) for index in range(60)]
    digits = [digit for scene in scenes for digit in scene.digits]
    heights = np.array([digit.box[3] for digit in digits])
    assert {digit.label for digit in digits} == set(range(10))
    assert heights.min() < 0.28 * 192
    assert heights.max() > 0.42 * 192
    assert {scene.photograph for scene in scenes} == {0, 1}
    overlaps = sum(
        first.box[0] < second.box[0] + second.box[2]
        and second.box[0] < first.box[0] + first.box[2]
        and first.box[1] < second.box[1] + second.box[3]
        and second.box[1] < first.box[1] + first.box[3]
        for scene in scenes
        for position, first in enumerate(scene.digits)
        for second in scene.digits[:position]
    )
    assert overlaps > 20


def test_digits_contrast_with_their_surroundings() -> None:
    steps = []
    for index in range(30):
        scene = compose(index, 'val')
        luma = scene.image @ np.array([0.299, 0.587, 0.114])
        free = ~np.any([digit.mask for digit in scene.digits], axis=0)
        for digit in scene.digits:
            left, top, width, height = digit.box
            window = np.s_[top : top + height, left : left + width]
            around = luma[window][free[window]]
            if around.size:
                steps.append(abs(np.median(luma[digit.mask]) - np.median(around)))
    assert np.median(steps) > 60
    assert np.mean(np.array(steps) > 30) > 0.95


def test_scene_depends_on_seed_split_and_index_only() -> None:
    first, again = compose(7), compose(7)
    assert np.array_equal(first.image, again.image)
    others = [compose(8), compose(7, split='val'), compose(7, seed=1)]
    assert not any(np.array_equal(first.image, other.image) for other in others)
    assert not any(
        np.array_equal(first.image, second.image)
        for first, second in pairwise(compose(index) for index in range(5))
    )


@pytest.mark.parametrize('split', SPLITS)
def test_scans_come_from_their_own_split(split: Split) -> None:
    own = set(load_digit_scans(split).indices)
    for index in range(20):
        assert {digit.scan for digit in compose(index, split).digits} <= own
