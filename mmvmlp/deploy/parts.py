"""The part of each toolbox's model that is exported, and how an exported one is put back.

A part maps normalised images to tensors, at any image size: a classifier and a segmentor to their
logits, a detector to its pyramid, since proposals, RoIs and NMS depend on the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from mmengine.model import BaseModel
from torch import nn

Run = Callable[[torch.Tensor], Sequence[torch.Tensor]]


class ExportedPart(nn.Module, ABC):
    """A part of a model.

    Args:
        model: From :func:`mmvmlp.inference.trained_model.load_trained_model`.
    """

    task: ClassVar[str]
    """The model's task, as in the JSON file of predictions."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the outputs.

        Args:
            images: (N, C, H, W), normalised.
        """

    @abstractmethod
    def output_names(self, number: int) -> list[str]:
        """Name the outputs."""

    @staticmethod
    @abstractmethod
    def replace(model: BaseModel, run: Run) -> None:
        """Let a model compute this part with a function instead of its modules."""


class ClassifierLogits(ExportedPart):
    """Logits of mmpretrain's classifiers: (N, classes)."""

    task = 'classification'

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model(images, mode='tensor'),)

    def output_names(self, number: int) -> list[str]:
        return ['logits']

    @staticmethod
    def replace(model: BaseModel, run: Run) -> None:
        model.extract_feat = run
        model.head.forward = lambda outputs: outputs[0]


class SegmentorLogits(ExportedPart):
    """Logits of mmsegmentation's segmentors: (N, classes, H, W), at the size of the images."""

    task = 'segmentation'

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model.encode_decode(images, [{'img_shape': images.shape[2:]}]),)

    def output_names(self, number: int) -> list[str]:
        return ['logits']

    @staticmethod
    def replace(model: BaseModel, run: Run) -> None:
        model.encode_decode = lambda images, metas: run(images)[0]


class DetectorPyramid(ExportedPart):
    """Feature maps of backbone and neck of mmdet's detectors: (N, C, ~H / stride, ~W / stride)."""

    task = 'detection'

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.model.extract_feat(images))

    def output_names(self, number: int) -> list[str]:
        return [f'map{level}' for level in range(number)]

    @staticmethod
    def replace(model: BaseModel, run: Run) -> None:
        model.extract_feat = lambda images: tuple(run(images))


PARTS: dict[str, type[ExportedPart]] = {
    'mmpretrain': ClassifierLogits,
    'mmseg': SegmentorLogits,
    'mmdet': DetectorPyramid,
}
"""Exported parts by toolbox."""
