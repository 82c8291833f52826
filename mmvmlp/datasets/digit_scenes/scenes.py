"""Compose scenes: digits drawn on photographs, with exact masks of their visible parts."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mmvmlp.datasets.digit_scenes.sources import (
    SPLITS,
    Split,
    load_digit_scans,
    load_photograph_regions,
)

Rgb = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

ROTATION_DEGREES = 15.0
STRETCH = 0.1

# Below this fraction, covered digits become ambiguous.
MIN_VISIBLE = 0.7
# Non-maximum suppression removes one of two boxes that overlap by half.
MAX_BOX_IOU = 0.15
PLACEMENT_TRIES = 100

CELL = 8
MARGIN = 2
SHARPENING = 1.0
# A lower level makes bolder strokes; thin ones are lost in a mask head's 28x28 output.
STROKE_LEVEL = (0.34, 0.44)
MIN_LUMA_STEP = 90.0
COLOUR_TRIES = 24
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Digit:
    """A digit in a scene.

    Attributes:
        label: The digit, 0 to 9.
        mask: True where its stroke is visible, shape (H, W).
        scan: Index of the scan in scikit-learn's 1797.
    """

    label: int
    mask: Mask
    scan: int

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Bounding box of the mask in pixels: left, top, width, height."""
        left, top, width, height = cv2.boundingRect(self.mask.astype(np.uint8))
        return int(left), int(top), int(width), int(height)


@dataclass(frozen=True)
class Scene:
    """An image and its digits.

    Attributes:
        image: RGB, shape (H, W, 3).
        digits: Digits from back to front.
        photograph: Index of the background in `PHOTOGRAPHS`.
    """

    image: Rgb
    digits: tuple[Digit, ...]
    photograph: int


@dataclass(frozen=True)
class _Glyph:
    """A digit before placement: opacity in [0, 1], cropped to its bounding box."""

    label: int
    scan: int
    alpha: Plane

    @property
    def mask(self) -> Mask:
        return self.alpha >= 0.5


def compose_scene(
    split: Split,
    index: int,
    *,
    seed: int,
    size: tuple[int, int],
    digits_per_scene: tuple[int, int],
    digit_height: tuple[float, float],
) -> Scene:
    """Compose a scene of several digits, deterministically from the arguments.

    Args:
        split: Split of the scans and photograph regions, 'train' or 'val'.
        index: Index of the scene in the split, from 0.
        seed: Seed of the data set.
        size: Height and width in pixels.
        digits_per_scene: Minimum and maximum number of digits; fewer if there is no room.
        digit_height: Minimum and maximum height of a digit as fractions of the shorter side.

    Returns:
        The scene. Masks do not overlap, and every digit is completely inside and at least 70 %
        visible.
    """
    rng = _generator(seed, split, index)
    canvas, photograph = _background(rng, split, size)
    count = int(rng.integers(digits_per_scene[0], digits_per_scene[1] + 1))
    full_areas: list[int] = []
    digits: list[Digit] = []
    for _ in range(count):
        for _ in range(PLACEMENT_TRIES):
            glyph = _draw_glyph(rng, split, size, digit_height)
            height, width = glyph.alpha.shape
            top = int(rng.integers(size[0] - height + 1))
            left = int(rng.integers(size[1] - width + 1))
            covered = _cover(digits, full_areas, glyph, top, left)
            if covered is None:
                continue
            others = np.zeros(size, dtype=np.bool_)
            for digit in digits:
                others |= digit.mask
            colour = _contrasting_colour(rng, canvas, others, glyph.alpha, top, left)
            _blend(canvas, glyph.alpha, top, left, colour)
            mask = np.zeros(size, dtype=np.bool_)
            mask[top : top + height, left : left + width] = glyph.mask
            digits = [*covered, Digit(glyph.label, mask, glyph.scan)]
            full_areas.append(int(mask.sum()))
            break
    return Scene(_finish(rng, canvas), tuple(digits), photograph)


def compose_clutter(
    split: Split,
    index: int,
    *,
    seed: int,
    size: tuple[int, int],
    digits_per_scene: tuple[int, int],
    digit_height: tuple[float, float],
    label: int,
) -> Scene:
    """Compose a scene of one complete digit with fragments of others at the border.

    Args:
        split: Split of the scans and photograph regions, 'train' or 'val'.
        index: Index of the scene in the split, from 0.
        seed: Seed of the data set.
        size: Height and width in pixels.
        digits_per_scene: Minimum and maximum number of digits, fragments included.
        digit_height: Minimum and maximum height of a digit as fractions of the shorter side.
        label: The complete digit, 0 to 9.

    Returns:
        The scene, with the complete digit only.
    """
    rng = _generator(seed, split, index)
    canvas, photograph = _background(rng, split, size)
    fragments = np.zeros(size, dtype=np.bool_)
    count = int(rng.integers(digits_per_scene[0], digits_per_scene[1] + 1))
    for _ in range(count - 1):
        fragment = _draw_glyph(rng, split, size, digit_height)
        top, left = _border_position(rng, fragment.alpha.shape, size)
        colour = _contrasting_colour(rng, canvas, fragments, fragment.alpha, top, left)
        _blend(canvas, fragment.alpha, top, left, colour)
        inside, opacity = _overlap(fragments, fragment.alpha, top, left)
        inside |= opacity >= 0.5
    glyph = _draw_glyph(rng, split, size, digit_height, label)
    height, width = glyph.alpha.shape
    # The complete digit is near the centre, with some jitter.
    top = round((size[0] - height) * float(rng.uniform(0.25, 0.75)))
    left = round((size[1] - width) * float(rng.uniform(0.25, 0.75)))
    colour = _contrasting_colour(rng, canvas, fragments, glyph.alpha, top, left)
    _blend(canvas, glyph.alpha, top, left, colour)
    mask = np.zeros(size, dtype=np.bool_)
    mask[top : top + height, left : left + width] = glyph.mask
    return Scene(_finish(rng, canvas), (Digit(glyph.label, mask, glyph.scan),), photograph)


def _generator(seed: int, split: Split, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index(split), index]))


def _background(rng: np.random.Generator, split: Split, size: tuple[int, int]) -> tuple[Plane, int]:
    regions = load_photograph_regions(split)
    photograph = int(rng.integers(len(regions)))
    region = regions[photograph]
    # A random fraction of the largest crop with the scene's aspect ratio varies the scale.
    fit = min(region.shape[0] / size[0], region.shape[1] / size[1])
    scale = fit * float(rng.uniform(0.5, 1.0))
    height, width = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
    top = int(rng.integers(region.shape[0] - height + 1))
    left = int(rng.integers(region.shape[1] - width + 1))
    window = region[top : top + height, left : left + width]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    smaller = height > size[0]
    resized = cv2.resize(
        np.ascontiguousarray(window),
        (size[1], size[0]),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC,
    ).astype(np.float32)
    contrast, brightness = rng.uniform(0.6, 1.0), rng.uniform(-30.0, 30.0)
    mean = resized.mean()
    adjusted = (resized - mean) * np.float32(contrast) + mean + np.float32(brightness)
    return np.clip(adjusted, 0, 255).astype(np.float32), photograph


def _draw_glyph(
    rng: np.random.Generator,
    split: Split,
    size: tuple[int, int],
    digit_height: tuple[float, float],
    label: int | None = None,
) -> _Glyph:
    scans = load_digit_scans(split)
    if label is None:
        label = int(rng.integers(10))
    chosen = int(rng.choice(np.flatnonzero(scans.labels == label)))
    pixels_per_cell = min(size) * float(rng.uniform(*digit_height)) / 8
    stretch = float(rng.uniform(1 - STRETCH, 1 + STRETCH))
    degrees = float(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
    level = float(rng.uniform(*STROKE_LEVEL))
    while True:
        alpha = _rasterise(
            _landscape(split, chosen),
            pixels_per_cell=pixels_per_cell,
            stretch=stretch,
            degrees=degrees,
            level=level,
        )
        if alpha.shape[0] <= size[0] and alpha.shape[1] <= size[1]:
            return _Glyph(label, int(scans.indices[chosen]), alpha)
        # Rotation, stretch and the soft edge can make a large digit exceed a small image.
        pixels_per_cell *= 0.9


# Cached, since the blurs take longer than the rest of a glyph: 66 MB for all scans.
@cache
def _landscape(split: Split, chosen: int) -> Plane:
    """Interpolate the 8x8 coverage of a scan; its stroke is the part above a level.

    The result is shared between callers and must not be modified.
    """
    scan = load_digit_scans(split).images[chosen]
    padded = np.pad(scan / scan.max(), MARGIN)
    side = padded.shape[0] * CELL
    coarse = cv2.resize(padded, (side, side), interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(coarse, (0, 0), 0.25 * CELL)
    # The loop of a 6 or an 8 is one cell wide: without sharpening it would be filled.
    landscape: Plane = smooth + SHARPENING * (smooth - cv2.GaussianBlur(smooth, (0, 0), CELL))
    return landscape


def _rasterise(
    landscape: Plane, *, pixels_per_cell: float, stretch: float, degrees: float, level: float
) -> Plane:
    """Render the part above `level` as an opaque stroke of any size.

    Its edge is softened over about two pixels at every size.
    """
    side = landscape.shape[0]
    radians = np.deg2rad(degrees)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    zoom = turn @ np.diag([stretch, 1.0]) * pixels_per_cell / CELL
    reach = int(np.ceil(pixels_per_cell * (side // CELL) * 1.5))
    centre = np.full(2, (reach - 1) / 2) - zoom @ np.full(2, (side - 1) / 2)
    warped = cv2.warpAffine(
        landscape, np.column_stack([zoom, centre]), (reach, reach), flags=cv2.INTER_LINEAR
    )
    opacity = np.clip(0.5 + (warped - level) * pixels_per_cell / 1.5, 0, 1)
    alpha: Plane = opacity.astype(np.float32)
    left, top, width, height = cv2.boundingRect((alpha > 0).astype(np.uint8))
    return alpha[top : top + height, left : left + width]


def _cover(
    digits: list[Digit], full_areas: list[int], glyph: _Glyph, top: int, left: int
) -> list[Digit] | None:
    """Remove the new glyph's pixels from the digits behind; None if that would hide one."""
    height, width = glyph.alpha.shape
    box = (left, top, width, height)
    if any(_box_iou(box, digit.box) > MAX_BOX_IOU for digit in digits):
        return None
    rows, columns = slice(top, top + height), slice(left, left + width)
    covered = []
    for digit, full_area in zip(digits, full_areas, strict=True):
        mask = digit.mask.copy()
        mask[rows, columns] &= ~glyph.mask
        if np.count_nonzero(mask) < MIN_VISIBLE * full_area:
            return None
        covered.append(Digit(digit.label, mask, digit.scan))
    return covered


def _box_iou(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def _border_position(
    rng: np.random.Generator, shape: tuple[int, ...], size: tuple[int, int]
) -> tuple[int, int]:
    """Place a fragment's top left corner so that the image border cuts most of it off."""
    top = int(rng.integers(-shape[0] // 2, size[0] - shape[0] // 2))
    left = int(rng.integers(-shape[1] // 2, size[1] - shape[1] // 2))
    shown = float(rng.uniform(0.15, 0.4))
    side = int(rng.integers(4))
    if side == 0:
        top = round((shown - 1) * shape[0])
    elif side == 1:
        top = round(size[0] - shown * shape[0])
    elif side == 2:
        left = round((shown - 1) * shape[1])
    else:
        left = round(size[1] - shown * shape[1])
    return top, left


def _overlap(
    canvas: npt.NDArray[Any], alpha: Plane, top: int, left: int
) -> tuple[npt.NDArray[Any], Plane]:
    """Return the overlapping parts of canvas and alpha, as views."""
    height, width = canvas.shape[:2]
    first_row, first_column = max(top, 0), max(left, 0)
    last_row = min(top + alpha.shape[0], height)
    last_column = min(left + alpha.shape[1], width)
    return (
        canvas[first_row:last_row, first_column:last_column],
        alpha[first_row - top : last_row - top, first_column - left : last_column - left],
    )


def _contrasting_colour(
    rng: np.random.Generator, canvas: Plane, others: Mask, alpha: Plane, top: int, left: int
) -> Plane:
    """Sample colours until one differs in brightness from nearly all pixels it covers.

    Background and other digits count equally, whatever their number of pixels.
    """
    below, _ = _overlap(canvas, alpha, top, left)
    other, _ = _overlap(others, alpha, top, left)
    luma = below @ _LUMA
    grounds = [luma[ground] for ground in (other, ~other) if ground.any()]
    best_share = -1.0
    best: Plane = np.zeros(3, dtype=np.float32)
    for _ in range(COLOUR_TRIES):
        saturation = 0.0 if rng.random() < 0.25 else rng.uniform(0.3, 1.0)
        rgb = colorsys.hsv_to_rgb(rng.random(), saturation, rng.random())
        colour: Plane = np.array(rgb, dtype=np.float32) * 255
        brightness = colour @ _LUMA
        share = min(
            np.count_nonzero(np.abs(ground - brightness) >= MIN_LUMA_STEP) / ground.size
            for ground in grounds
        )
        if share > best_share:
            best_share, best = share, colour
        if share >= 0.9:
            break
    return best


def _blend(canvas: Plane, alpha: Plane, top: int, left: int, colour: Plane) -> None:
    below, opacity = _overlap(canvas, alpha, top, left)
    below += opacity[..., None] * (colour - below)


def _finish(rng: np.random.Generator, canvas: Plane) -> Rgb:
    noise = rng.normal(0, rng.uniform(0, 4), canvas.shape).astype(np.float32)
    finished: Rgb = np.clip(np.rint(canvas + noise), 0, 255).astype(np.uint8)
    return finished
