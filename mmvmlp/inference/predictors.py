"""Predictors: a detector, a segmentor and a classifier.

The toolboxes' own pipelines prepare images and their models predict, several images at a time; the
three only differ in what is kept of their results and drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mmcv
import numpy as np
import numpy.typing as npt
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmengine.utils import import_modules_from_strings

from mmvmlp.checkpoints import checkpoint_file, read_checkpoint
from mmvmlp.deploy.fuse import fuse
from mmvmlp.inference.run_lengths import encode_mask
from mmvmlp.inference.tiling import Tiling, merge_index_maps, merge_instances
from mmvmlp.inference.trained_model import check_device, trained_model
from mmvmlp.visualization.drawing import (
    ImageArray,
    class_name,
    draw_class_map,
    draw_instances,
    draw_text,
    enlargement,
)

BEST_CLASSES = 5

Sample = dict[str, Any]
"""An image as a model takes it, ``inputs``, and what the toolbox knows of it, ``data_samples``."""

Pipeline = Callable[[ImageArray], Sample]
IndexMap = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


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
    index_map: IndexMap | None = None


class Predictor(ABC):
    """A trained model that predicts on images.

    Args:
        model: From :func:`~mmvmlp.inference.trained_model.load_trained_model`.
        score_threshold: A detector's instances with a lower score are left out.
    """

    task: ClassVar[str]
    """The model's task, for the JSON file."""

    def __init__(self, model: BaseModel, score_threshold: float = 0.3) -> None:
        self.model = model
        self.class_names = [str(name) for name in model.dataset_meta.get('classes') or ()]
        self.score_threshold = score_threshold
        self.pipeline = make_pipeline(model.cfg)

    def predict(self, samples: Sequence[Sample]) -> list[Any]:
        """Predict on one batch.

        Args:
            samples: From :func:`make_pipeline`, all of one size: images of other sizes would be
                padded, which changes their predictions.

        Returns:
            The predictions for each image, as the methods below take them.
        """
        with torch.no_grad():
            found = self.model.test_step(
                {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
            )
        return [self.read(each) for each in found]

    @abstractmethod
    def read(self, found: Any) -> Any:
        """Take the predictions for one image from what the toolbox's model gives."""

    @abstractmethod
    def merge(self, parts: Sequence[Any], tiling: Tiling, shape: tuple[int, ...]) -> Any:
        """Merge the predictions of the tiles of an image."""

    @abstractmethod
    def record(self, predicted: Any) -> dict[str, Any]:
        """Make the record of an image's predictions, for JSON."""

    @abstractmethod
    def draw(self, image: ImageArray, predicted: Any) -> ImageArray:
        """Draw predictions on an image in BGR; the drawing is in RGB."""

    def index_map(self, predicted: Any) -> IndexMap | None:
        """Return a segmentor's class index of every pixel, shape (H, W)."""
        return None

    def __call__(self, image: ImageArray) -> Outcome:
        """Predict on one image.

        Args:
            image: Shape (H, W, 3), in BGR, as the toolboxes read images.
        """
        (predicted,) = self.predict([self.pipeline(image)])
        return Outcome(
            self.record(predicted), self.draw(image, predicted), self.index_map(predicted)
        )


class DetectionPredictor(Predictor):
    """Predicts boxes, and masks if the detector has them.

    Predictions are ``InstanceData`` with arrays ``bboxes``, ``labels`` and ``scores``, and
    ``masks`` as a list of COCO's run lengths; the highest score first.
    """

    task = 'detection'

    def find(self, image: ImageArray) -> InstanceData:
        """Find the instances in an image.

        Args:
            image: Shape (H, W, 3), in BGR.
        """
        return self.predict([self.pipeline(image)])[0]

    def read(self, found: Any) -> InstanceData:
        instances = found.pred_instances
        instances = instances[instances.scores >= self.score_threshold].cpu().numpy()
        kept = InstanceData(
            bboxes=instances.bboxes, labels=instances.labels, scores=instances.scores
        )
        if 'masks' in instances:
            # At once: decoded masks of a batch of large images take gigabytes.
            kept.masks = [encode_mask(mask) for mask in instances.masks]
        return kept

    def merge(
        self, parts: Sequence[InstanceData], tiling: Tiling, shape: tuple[int, ...]
    ) -> InstanceData:
        return merge_instances(parts, tiling, shape)

    def record(self, predicted: InstanceData) -> dict[str, Any]:
        records = []
        for index, (label, score, box) in enumerate(
            zip(
                predicted.labels.tolist(),
                predicted.scores.tolist(),
                predicted.bboxes.tolist(),
                strict=True,
            )
        ):
            record: dict[str, Any] = {
                'label': label,
                'class_name': class_name(self.class_names, label),
                'score': round(score, 5),
                'box': [round(side, 2) for side in box],
            }
            if 'masks' in predicted:
                record['mask'] = predicted.masks[index]
            records.append(record)
        return {'detections': records}

    def draw(self, image: ImageArray, predicted: InstanceData) -> ImageArray:
        return draw_instances(
            mmcv.bgr2rgb(image), predicted, self.class_names, enlargement(image.shape)
        )


class SegmentationPredictor(Predictor):
    """Predicts a class for every pixel: arrays of shape (H, W)."""

    task = 'segmentation'

    def read(self, found: Any) -> IndexMap:
        predicted = found.pred_sem_seg.data[0].cpu().numpy()
        indices: IndexMap = predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16)
        return indices

    def merge(self, parts: Sequence[IndexMap], tiling: Tiling, shape: tuple[int, ...]) -> IndexMap:
        return merge_index_maps(parts, tiling, shape)

    def record(self, predicted: IndexMap) -> dict[str, Any]:
        labels, counts = np.unique(predicted, return_counts=True)
        return {
            'classes': [
                {
                    'label': int(label),
                    'class_name': class_name(self.class_names, int(label)),
                    'pixels': int(count),
                }
                for label, count in zip(labels, counts, strict=True)
            ]
        }

    def draw(self, image: ImageArray, predicted: IndexMap) -> ImageArray:
        return draw_class_map(
            mmcv.bgr2rgb(image),
            predicted,
            self.class_names,
            self.model.dataset_meta.get('palette') or (),
            enlargement(image.shape),
        )

    def index_map(self, predicted: IndexMap) -> IndexMap:
        return predicted


class ClassificationPredictor(Predictor):
    """Predicts scores of all classes: arrays of shape (N,). The best ones are recorded."""

    task = 'classification'

    def read(self, found: Any) -> npt.NDArray[np.float32]:
        scores: npt.NDArray[np.float32] = found.pred_score.cpu().numpy()
        return scores

    def merge(
        self,
        parts: Sequence[npt.NDArray[np.float32]],
        tiling: Tiling,
        shape: tuple[int, ...],
    ) -> npt.NDArray[np.float32]:
        raise ValueError('a classifier predicts one class for a whole image, not for its tiles')

    def record(self, predicted: npt.NDArray[np.float32]) -> dict[str, Any]:
        best = np.argsort(-predicted, kind='stable')[:BEST_CLASSES]
        return {
            'classes': [
                {
                    'label': int(label),
                    'class_name': class_name(self.class_names, int(label)),
                    'score': round(float(predicted[label]), 5),
                }
                for label in best
            ]
        }

    def draw(self, image: ImageArray, predicted: npt.NDArray[np.float32]) -> ImageArray:
        text = '\n'.join(
            f'{entry["score"]:.3f}  {entry["class_name"]}'
            for entry in self.record(predicted)['classes']
        )
        return draw_text(mmcv.bgr2rgb(image), text, enlargement(image.shape))


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
    check_score_threshold(score_threshold)
    predictor_type(config)
    check_device(device)
    contents = read_checkpoint(checkpoint_file(checkpoint))
    return predictor_of(config, contents, checkpoint, device, score_threshold, fused=fused)


def predictor_of(
    config: Config,
    contents: Mapping[str, Any],
    origin: str | Path,
    device: str = 'cpu',
    score_threshold: float = 0.3,
    *,
    fused: bool = False,
) -> Predictor:
    """Make a predictor from a checkpoint that was read.

    Args:
        config: See :func:`make_predictor`.
        contents: From :func:`~mmvmlp.checkpoints.read_checkpoint`.
        origin: File to name in errors.
        device: See :func:`make_predictor`.
        score_threshold: See :func:`make_predictor`.
        fused: See :func:`make_predictor`.

    Raises:
        CheckpointError: If the checkpoint is of another model.
        ValueError: If the config names no toolbox.
    """
    # Again, in another process than the one that read the config.
    import_modules_from_strings(**config.get('custom_imports', {'imports': None}))
    model = trained_model(config, contents, origin, device)
    return predictor_type(config)(fuse(model) if fused else model, score_threshold)


def predictor_type(config: Config) -> type[Predictor]:
    """Return the kind of predictor for a config's toolbox.

    Raises:
        ValueError: If the config names no toolbox.
    """
    toolbox = config.get('default_scope')
    if toolbox not in PREDICTORS:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: it must name the toolbox, one of '
            f'{", ".join(PREDICTORS)}'
        )
    return PREDICTORS[toolbox]


def check_score_threshold(score_threshold: float) -> None:
    """Check that a threshold is a score.

    Raises:
        ValueError: If it is not from 0 to 1.
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f'score_threshold={score_threshold!r}: it must be from 0 to 1')


def make_pipeline(config: Config) -> Pipeline:
    """Make the function that prepares decoded images, from the test pipeline of a config.

    Args:
        config: Of a model of one of the three toolboxes.

    Returns:
        A function of an image of shape (H, W, 3), in BGR.
    """
    from mmcv.transforms import Compose
    from mmdet.utils import get_test_pipeline_cfg

    init_default_scope(config.default_scope)
    config = config.copy()
    segmentor = config.default_scope == 'mmseg'
    steps = config.test_pipeline if segmentor else get_test_pipeline_cfg(config)
    transform = Compose(
        [
            step
            for step in steps
            if not step['type'].endswith(('LoadAnnotations', 'LoadImageFromFile'))
        ]
    )

    def prepare(image: ImageArray) -> Sample:
        size = image.shape[:2]
        sample: Sample = transform(
            {'img': image, 'img_path': None, 'img_id': 0, 'img_shape': size, 'ori_shape': size}
        )
        return sample

    return prepare
