"""A contact sheet of a detector's validation images."""

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmvmlp.analysis.pictures import Comparison, Instances, draw_comparisons, save_picture
from mmvmlp.engine.prediction import DetectionPredictor, load_trained_model


def draw_contact_sheet(
    config: Config,
    checkpoint: Path,
    out_file: Path,
    count: int = 12,
    score_threshold: float = 0.3,
    device: str = 'cpu',
) -> None:
    """Draw validation images of a detector, each with its ground truth beside the prediction.

    Args:
        config: Of a detector of mmdet; the images are those of its ``val_dataloader``.
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
    predictor = DetectionPredictor(load_trained_model(config, checkpoint, device), score_threshold)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    read = Compose(
        [
            {'type': 'mmvmlp.LoadImageFromFile'},
            {
                'type': 'LoadAnnotations',
                'with_bbox': True,
                'with_mask': hasattr(predictor.model, 'with_mask') and predictor.model.with_mask,
            },
        ]
    )
    comparisons = []
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    for index in chosen:
        annotated = read(dataset.get_data_info(int(index)))
        comparisons.append(
            Comparison(
                picture=np.ascontiguousarray(annotated['img'][..., ::-1]),
                annotated=_annotated_instances(annotated),
                predicted=predictor.find(annotated['img']),
                caption=Path(annotated['img_path']).name,
            )
        )
    sheet = draw_comparisons(
        comparisons,
        predictor.class_names,
        title=f'{len(comparisons)} of {len(dataset)} validation images',
        headings=('ground truth', f'prediction, score ≥ {score_threshold:g}'),
    )
    save_picture(sheet, out_file)


def _annotated_instances(results: dict[str, Any]) -> Instances:
    masks = results.get('gt_masks')
    return Instances(
        boxes=results['gt_bboxes'].numpy().astype(np.float32).reshape(-1, 4),
        labels=results['gt_bboxes_labels'].astype(np.int64),
        masks=None if masks is None else masks.to_ndarray().astype(bool),
    )
