"""Predictors of one image at a time: a detector, a segmentor and a classifier.

The toolboxes' own inference functions predict; the three only differ in what is kept of their
results and drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mmcv
import numpy as np
import numpy.typing as npt
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmvmlp.deploy.fuse import fuse
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.visualization.drawing import (
    ImageArray,
    class_name,
    draw_class_map,
    draw_instances,
    draw_text,
    enlargement,
)

BEST_CLASSES = 5


@dataclass(frozen=True)
class Outcome:
    """Predictions of one image.

    Attributes:
        record: The predictions, for the JSON file.
        drawing: The image with the predictions drawn on it, RGB.
        index_map: A segmentor's class index of every pixel, shape (H, W).
    """

    record: dict[str, Any]
    drawing: ImageArray
    index_map: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None


class Predictor(Protocol):
    """Predicts on one image at a time."""

    task: str
    """The model's task, for the JSON file."""

    def __call__(self, image: ImageArray) -> Outcome:
        """Predict.

        Args:
            image: Shape (H, W, 3), in BGR, as the toolboxes read images.
        """
        ...


class DetectionPredictor:
    """Boxes, and masks if the detector has them, through mmdet's inference.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Instances with a lower score are left out.
    """

    task = 'detection'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        from mmcv.transforms import Compose
        from mmdet.utils import get_test_pipeline_cfg

        self.model = model
        self.class_names = _class_names(model)
        self.score_threshold = score_threshold
        pipeline = get_test_pipeline_cfg(model.cfg.copy())
        pipeline[0].type = 'mmdet.LoadImageFromNDArray'
        self.pipeline = Compose(
            [step for step in pipeline if not step['type'].endswith('LoadAnnotations')]
        )

    def find(self, image: ImageArray) -> InstanceData:
        """Find the instances in an image.

        Args:
            image: Shape (H, W, 3), in BGR.

        Returns:
            ``bboxes``, ``labels``, ``scores`` and, if the detector has them, ``masks`` as arrays,
            the highest score first.
        """
        from mmdet.apis import inference_detector

        found = inference_detector(self.model, image, self.pipeline).pred_instances
        return found[found.scores >= self.score_threshold].cpu().numpy()

    def __call__(self, image: ImageArray) -> Outcome:
        found = self.find(image)
        drawing = draw_instances(
            mmcv.bgr2rgb(image), found, self.class_names, enlargement(image.shape)
        )
        return Outcome({'detections': self._records(found)}, drawing)

    def _records(self, found: InstanceData) -> list[dict[str, Any]]:
        records = []
        for index, (label, score, box) in enumerate(
            zip(found.labels.tolist(), found.scores.tolist(), found.bboxes.tolist(), strict=True)
        ):
            record: dict[str, Any] = {
                'label': label,
                'class_name': class_name(self.class_names, label),
                'score': round(score, 5),
                'box': [round(side, 2) for side in box],
            }
            if 'masks' in found:
                record['mask'] = _run_lengths(found.masks[index])
            records.append(record)
        return records


class SegmentationPredictor:
    """A class for every pixel, through mmseg's inference.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Unused.
    """

    task = 'segmentation'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        self.model = model
        self.class_names = _class_names(model)

    def __call__(self, image: ImageArray) -> Outcome:
        from mmseg.apis import inference_model

        predicted = inference_model(self.model, image).pred_sem_seg.data[0].cpu().numpy()
        indices = predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16)
        labels, counts = np.unique(indices, return_counts=True)
        classes = [
            {
                'label': int(label),
                'class_name': class_name(self.class_names, int(label)),
                'pixels': int(count),
            }
            for label, count in zip(labels, counts, strict=True)
        ]
        drawing = draw_class_map(
            mmcv.bgr2rgb(image),
            indices,
            self.class_names,
            self.model.dataset_meta.get('palette') or (),
            enlargement(image.shape),
        )
        return Outcome({'classes': classes}, drawing, indices)


class ClassificationPredictor:
    """The classes with the best scores, through mmpretrain's inferencer.

    Args:
        model: From :func:`load_trained_model`.
        score_threshold: Unused; the best classes are given whatever their scores.
    """

    task = 'classification'

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        from mmpretrain import ImageClassificationInferencer

        self.class_names = _class_names(model)
        self.inferencer = ImageClassificationInferencer(model)

    def __call__(self, image: ImageArray) -> Outcome:
        # In steps, for a call shows a progress bar for every image.
        (batch,) = self.inferencer.preprocess([image])
        scores = self.inferencer.forward(batch)[0].pred_score.cpu().numpy()
        best = np.argsort(-scores, kind='stable')[:BEST_CLASSES]
        classes = [
            {
                'label': int(label),
                'class_name': class_name(self.class_names, int(label)),
                'score': round(float(scores[label]), 5),
            }
            for label in best
        ]
        drawing = draw_text(
            mmcv.bgr2rgb(image),
            '\n'.join(f'{entry["score"]:.3f}  {entry["class_name"]}' for entry in classes),
            enlargement(image.shape),
        )
        return Outcome({'classes': classes}, drawing)


PREDICTORS: Mapping[str, type[Predictor]] = {
    'mmdet': DetectionPredictor,
    'mmseg': SegmentationPredictor,
    'mmpretrain': ClassificationPredictor,
}


def make_predictor(
    config: Config,
    checkpoint: str | Path,
    device: str = 'cpu',
    score_threshold: float = 0.3,
    *,
    fused: bool = False,
) -> Predictor:
    """Load a trained model of whichever toolbox its config is for.

    Args:
        config: Its ``default_scope`` says which toolbox.
        checkpoint: Of the whole model, as training writes it.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.
        score_threshold: From 0 to 1; a detector's instances with a lower score are left out.
        fused: True for the inference form of the backbone.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it cannot be read or is of another model.
        ValueError: If another argument is not accepted.
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f'score_threshold={score_threshold!r}: it must be from 0 to 1')
    toolbox = config.get('default_scope')
    if toolbox not in PREDICTORS:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: it must name the toolbox, one of '
            f'{", ".join(PREDICTORS)}'
        )
    predictor_type: Any = PREDICTORS[toolbox]
    model = load_trained_model(config, checkpoint, device)
    predictor: Predictor = predictor_type(fuse(model) if fused else model, score_threshold)
    return predictor


def _class_names(model: BaseModel) -> list[str]:
    return [str(name) for name in model.dataset_meta.get('classes') or ()]


def _run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask as COCO's compressed run lengths, as text."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode('ascii')}
