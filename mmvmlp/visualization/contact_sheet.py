"""Contact sheets: a detector's predictions beside the ground truth of validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.structures import InstanceData

from mmvmlp.config.loading import load_config
from mmvmlp.datasets.loading import BACKEND_NAME
from mmvmlp.inference.predictors import DetectionPredictor
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.visualization.drawing import ImageArray, draw_instances, save_image

GAP_IN_PAIR = 6
GAP_BETWEEN_PAIRS = 36
TITLE_HEIGHT = 110
DOTS_PER_INCH = 100


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
    pair_height, pair_width = np.max([pair.shape[:2] for pair in pairs], axis=0)
    gap = GAP_BETWEEN_PAIRS
    width = columns * (pair_width + gap) + gap
    height = TITLE_HEIGHT + rows * (pair_height + gap)
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    # A figure with its own canvas leaves alone the state that matplotlib.pyplot shares.
    canvas = FigureCanvasAgg(figure)
    figure.text(gap / width, 1 - gap / height, title, fontsize=24, verticalalignment='top')
    # Panels as large as the pairs in pixels, so that no drawing is resampled.
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            'left': gap / width,
            'right': 1 - gap / width,
            'top': 1 - TITLE_HEIGHT / height,
            'bottom': gap / height,
            'wspace': gap / pair_width,
            'hspace': gap / pair_height,
        },
    )
    for panel in panels.flat:
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0, labelsize=16, labeltop=True, labelbottom=False)
        panel.set(xticks=[], yticks=[])
    for panel, pair, comparison in zip(panels.flat, pairs, comparisons, strict=False):
        panel.imshow(pair, interpolation='nearest')
        panel.set_xlabel(comparison.caption, loc='left', fontsize=11, color='dimgray')
    for panel, pair in zip(panels[0], pairs, strict=False):
        panel.set_xticks([pair.shape[1] / 4, pair.shape[1] * 3 / 4], headings)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _draw_pair(comparison: Comparison, class_names: Sequence[str], tile: int) -> ImageArray:
    scale = tile / max(comparison.image.shape[:2])
    annotated, predicted = (
        draw_instances(comparison.image, instances, class_names, scale)
        for instances in (comparison.annotated, comparison.predicted)
    )
    gap = np.full((len(annotated), GAP_IN_PAIR, 3), 255, dtype=np.uint8)
    return np.hstack([annotated, gap, predicted])
