"""Contact sheets: a detector's predictions beside the ground truth of validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw, ImageFont

from mmvmlp.config.loading import load_config
from mmvmlp.datasets.loading import BACKEND_NAME
from mmvmlp.inference.predictors import DetectionPredictor
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.visualization.drawing import (
    DARK,
    LIGHT,
    ImageArray,
    draw_instances,
    letters,
    save_image,
)

GAP_IN_PAIR = 6
GAP_BETWEEN_PAIRS = 36
TITLE_HEIGHT = 110
GREY = (110, 110, 110)


@dataclass(frozen=True)
class Comparison:
    """An image with its ground truth and a model's predictions.

    Attributes:
        image: The image, RGB.
        annotated: The ground truth, as :func:`draw_instances` takes it.
        predicted: The predictions to be drawn, likewise.
        caption: A name for the image.
    """

    image: ImageArray
    annotated: InstanceData
    predicted: InstanceData
    caption: str = ''


def draw_contact_sheet(
    config: Config | str | Path,
    checkpoint: str | Path,
    out_file: Path,
    count: int = 12,
    score_threshold: float = 0.3,
    device: str = 'cpu',
) -> None:
    """Draw validation images of a detector, each with its ground truth beside the prediction.

    Args:
        config: Or its file, of a detector of mmdet; the images are those of its ``val_dataloader``.
        checkpoint: Of the whole model, as training writes it.
        out_file: What to write; its suffix is the format.
        count: How many images, taken evenly over the data.
        score_threshold: Predictions with a lower score are not drawn.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it cannot be read or is of another model.
        ImageReadError: With the path, if an image is damaged.
        ValueError: If `count` is less than one.
    """
    if count < 1:
        raise ValueError(f'count={count}: at least one image must be drawn')
    if not isinstance(config, Config):
        config = load_config(config)
    predictor = DetectionPredictor(load_trained_model(config, checkpoint, device), score_threshold)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    with_mask = getattr(predictor.model, 'with_mask', False)
    read = Compose(
        [
            {'type': 'LoadImageFromFile', 'backend_args': {'backend': BACKEND_NAME}},
            {'type': 'LoadAnnotations', 'with_mask': with_mask, 'box_type': None},
        ]
    )
    pack = Compose([{'type': 'PackDetInputs'}])
    comparisons = []
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    for index in chosen:
        loaded = read(dataset.get_data_info(int(index)))
        # Without the regions that COCO marks as crowds: they count neither as found nor as missed.
        annotated = pack(loaded)['data_samples'].gt_instances.numpy()
        if with_mask:
            annotated.masks = annotated.masks.to_ndarray()
        comparisons.append(
            Comparison(
                image=mmcv.bgr2rgb(loaded['img']),
                annotated=annotated,
                predicted=predictor.find(loaded['img']),
                caption=Path(loaded['img_path']).name,
            )
        )
    sheet = draw_comparisons(
        comparisons,
        predictor.class_names,
        title=f'{len(comparisons)} of {len(dataset)} validation images',
        headings=('ground truth', f'prediction, score ≥ {score_threshold:g}'),
    )
    save_image(sheet, out_file)


def draw_comparisons(
    comparisons: Sequence[Comparison],
    class_names: Sequence[str],
    title: str,
    headings: tuple[str, str] = ('ground truth', 'prediction'),
    pairs_per_row: int = 3,
    tile: int = 352,
) -> ImageArray:
    """Draw a contact sheet: pairs of an image with its annotations and with its predictions.

    Args:
        comparisons: What to draw, row by row.
        class_names: The name of every class.
        title: Heading of the sheet.
        headings: What stands above the annotated and above the predicted images.
        pairs_per_row: Pairs side by side.
        tile: Longer side of every drawn image in pixels.

    Returns:
        The sheet.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not comparisons:
        raise ValueError('comparisons is empty: there is no image to draw on a contact sheet')
    pairs = [_draw_pair(comparison, class_names, tile) for comparison in comparisons]
    columns = min(pairs_per_row, len(pairs))
    rows = -(-len(pairs) // columns)
    pair_height, pair_width = (max(pair.shape[axis] for pair in pairs) for axis in (0, 1))
    gap = GAP_BETWEEN_PAIRS
    sheet = Image.new(
        'RGB',
        (columns * (pair_width + gap) + gap, TITLE_HEIGHT + rows * (pair_height + gap)),
        LIGHT,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((gap, 22), title, DARK, _fitting_font(title, 34, sheet.width - 2 * gap))
    for index, (pair, comparison) in enumerate(zip(pairs, comparisons, strict=True)):
        row, column = divmod(index, columns)
        left = gap + column * (pair_width + gap)
        top = TITLE_HEIGHT + row * (pair_height + gap)
        height, width = pair.shape[:2]
        sheet.paste(Image.fromarray(pair), (left, top))
        font = _fitting_font(comparison.caption, 16, width)
        draw.text((left, top + height + 4), comparison.caption, GREY, font)
        for heading, middle in zip(headings, (width / 4, width * 3 / 4), strict=True):
            if row == 0:
                font = _fitting_font(heading, 24, width / 2)
                draw.text((left + middle, top - 10), heading, DARK, font, anchor='ms')
    return np.asarray(sheet)


def _draw_pair(comparison: Comparison, class_names: Sequence[str], tile: int) -> ImageArray:
    scale = tile / max(comparison.image.shape[:2])
    annotated, predicted = (
        draw_instances(comparison.image, instances, class_names, scale)
        for instances in (comparison.annotated, comparison.predicted)
    )
    gap = np.full((len(annotated), GAP_IN_PAIR, 3), 255, dtype=np.uint8)
    return np.hstack([annotated, gap, predicted])


def _fitting_font(text: str, size: int, width: float) -> ImageFont.FreeTypeFont:
    length = max(letters(size).getlength(text), 1)
    return letters(max(8, min(size, int(size * width / length))))
