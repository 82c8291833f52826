"""Views of an image: predictions, the feature pyramid, receptive fields."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import mmcv
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mmvmlp.backbones.base import find_backbone
from mmvmlp.datasets.digit_scenes import compose_scene
from mmvmlp.inference.predictors import Predictor, check_score_threshold
from mmvmlp.inference.run_lengths import decode_mask
from mmvmlp.inspection.feature_maps import feature_pyramid, pyramid_panels
from mmvmlp.inspection.figures import OUTLINE, Panel
from mmvmlp.inspection.inspection import FAINTEST
from mmvmlp.inspection.layers import layers_of, stage_ends
from mmvmlp.inspection.reach import whole_map_statistics
from mmvmlp.inspection.receptive_field import ReceptiveField, receptive_field_at
from mmvmlp.visualization.drawing import DARK, LIGHT, ImageArray, enlargement

SCENE_SIDE = 320
"""Side of the digit scenes in pixels."""

THUMBNAIL_SIDE = 256
"""Longer side of the maps of a feature pyramid in pixels, at most."""

SHOWN_SIDE = 640
"""About the longer side of what is enlarged for the page, in pixels."""

Row = Sequence[str]


@dataclass(frozen=True)
class Seen:
    """An image as a network sees it.

    Attributes:
        inputs: Normalised and padded, (1, channels, H, W).
        picture: The same before that, RGB, (h, w, 3), uint8.
    """

    inputs: torch.Tensor
    picture: torch.Tensor


def new_scene() -> ImageArray:
    """Return a digit scene that was not seen before, in RGB, of the split of val."""
    scene = compose_scene(
        'val',
        0,
        seed=secrets.randbits(62),
        size=(SCENE_SIDE, SCENE_SIDE),
        digits_per_scene=(3, 6),
        digit_height=(0.25, 0.45),
    )
    return scene.image


def see(predictor: Predictor, image: ImageArray) -> Seen:
    """Prepare an image in BGR as its model does it."""
    sample = predictor.pipeline(image)
    preprocessor: Any = predictor.model.data_preprocessor
    prepared = preprocessor({key: [sample[key]] for key in ('inputs', 'data_samples')}, False)
    return Seen(prepared['inputs'], sample['inputs'].flip(0).permute(1, 2, 0))


def predict(
    predictor: Predictor, image: ImageArray, score_threshold: float
) -> tuple[ImageArray, Row, list[Row]]:
    """Predict on an image in BGR.

    Args:
        predictor: The model.
        image: The image.
        score_threshold: A detector's instances with a lower score are left out.

    Returns:
        The drawing, and the headings and the rows of a table.

    Raises:
        ValueError: If the threshold is no score, or the network does not take the image's size.
    """
    check_score_threshold(score_threshold)
    predictor.score_threshold = score_threshold
    outcome = predictor(image)
    record, pixels = outcome.record, image.shape[0] * image.shape[1]
    if 'detections' in record:
        headings: Row = ('class', 'score', 'box', 'mask')
        rows: list[Row] = [
            (
                each['class_name'],
                f'{each["score"]:.2f}',
                '{:.0f}, {:.0f} to {:.0f}, {:.0f}'.format(*each['box']),
                f'{decode_mask(each["mask"]).sum():,} px' if 'mask' in each else '',
            )
            for each in record['detections']
        ]
    elif predictor.task == 'segmentation':
        headings = ('class', 'share of the image')
        classes = sorted(record['classes'], key=lambda each: -each['pixels'])
        rows = [(each['class_name'], f'{each["pixels"] / pixels:.1%}') for each in classes]
    else:
        headings = ('class', 'score')
        rows = [(each['class_name'], f'{each["score"]:.3f}') for each in record['classes']]
    return outcome.drawing, headings, rows


def pyramid(predictor: Predictor, seen: Seen) -> list[Panel]:
    """Return a contact sheet of the maps that the model's head gets, level by level."""
    maps = feature_pyramid(predictor.model, seen.inputs)
    (height, width), (below, beside) = seen.picture.shape[:2], seen.inputs.shape[2:]
    padded = functional.pad(seen.picture, (0, 0, 0, beside - width, 0, below - height))
    return pyramid_panels(tuple(each.cpu() for each in maps), padded[None])


def stages(predictor: Predictor) -> int:
    """Return how many stages the backbone has."""
    return len(stage_ends(layers_of(find_backbone(predictor.model)[0])))


def receptive_field(
    predictor: Predictor, seen: Seen, stage: int, point: tuple[float, float]
) -> tuple[ImageArray, str]:
    """Measure which pixels a point of a stage's map sees.

    Args:
        predictor: The model.
        seen: The image.
        stage: Number of the stage, from 0.
        point: Row and column, as shares of the picture's height and width from 0 to 1.

    Returns:
        The picture with the receptive field over it, and what it shows, in words.
    """
    backbone, _ = find_backbone(predictor.model)
    size, padded = seen.picture.shape[:2], seen.inputs.shape[2:]
    row, column = (
        share * side / whole for share, side, whole in zip(point, size, padded, strict=True)
    )
    field = receptive_field_at(backbone, seen.inputs, stage, (row, column))
    half, most = field.sides.values()
    left_out = whole_map_statistics(backbone)
    rows, columns = field.reach_extent
    reach = (
        'Its analytic reach is the whole image'
        if field.reach.all()
        else f'The outline is its analytic reach, {columns}×{rows} pixels'
    )
    text = (
        f'After {field.layer.title}, half of the influence on the point comes from a square of '
        f'{half} pixels around it, and 90 % from one of {most}. '
        f'{reach}{", leaving out " + " and ".join(left_out) if left_out else ""}. '
        f'The network sees the image at {size[1]}×{size[0]} pixels.'
    )
    return draw_receptive_field(seen.picture.numpy(), field, point), text


def point_in(seen: Seen, x: float, y: float) -> tuple[float, float]:
    """Return the row and column of a pixel of :func:`receptive_field`'s picture, as shares."""
    height, width = seen.picture.shape[:2]
    scale = enlargement(seen.picture.shape, SHOWN_SIDE)
    row, column = ((place + 0.5) / scale for place in (y, x))
    return min(max(row / height, 0.0), 1.0), min(max(column / width, 0.0), 1.0)


def draw_receptive_field(
    picture: ImageArray, field: ReceptiveField, point: tuple[float, float]
) -> ImageArray:
    """Draw a receptive field over a picture, (H, W, 3), RGB.

    Args:
        picture: The picture; it is enlarged if it is small.
        field: Its gradient may be padded at the bottom and on the right.
        point: Row and column of what is looked at, as shares from 0 to 1.
    """
    height, width = picture.shape[:2]
    scale = enlargement(picture.shape, SHOWN_SIDE)
    large = width * scale, height * scale
    canvas = cv2.resize(picture, large, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    gradient = field.gradient[:height, :width].clamp(min=FAINTEST).numpy()
    strength = 1 - np.log10(gradient) / np.log10(FAINTEST)
    strength = cv2.resize(strength, large, interpolation=cv2.INTER_LINEAR)[..., None]
    colours = matplotlib.colormaps['magma'](strength[..., 0])[..., :3] * 255
    # The picture shows through, and is darker where it has no influence.
    opacity = 0.3 + 0.5 * strength
    drawn: ImageArray = ((1 - opacity) * canvas + opacity * colours).round().astype(np.uint8)
    reach = np.pad(field.reach[:height, :width].numpy(), 1).astype(np.uint8)
    if not reach[1:-1, 1:-1].all():
        enlarged = cv2.resize(reach, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        outline = tuple(int(OUTLINE[place : place + 2], 16) for place in (1, 3, 5))
        cv2.drawContours(drawn, contours, -1, outline, 2, cv2.LINE_AA, offset=(-scale, -scale))
    centre = int(point[1] * large[0]), int(point[0] * large[1])
    for colour, thickness in ((DARK, 5), (LIGHT, 2)):
        cv2.circle(drawn, centre, 9, colour, thickness, cv2.LINE_AA)
    return drawn


def thumbnail(panel: Panel) -> ImageArray:
    """Return a panel as an image in RGB, shrunk if it is large."""
    values: npt.NDArray[Any] = panel.values.numpy()
    if values.ndim == 2:
        shades = matplotlib.colormaps['viridis'](values)[..., :3]
        values = (shades * 255).round().astype(np.uint8)
    if max(values.shape[:2]) > THUMBNAIL_SIDE:
        values = mmcv.imrescale(values, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation='area')
    return values
