"""Whole detectors for one image size: from images to boxes, with the suppression inside the graph.

Arithmetic is mmdet's own: layers of the heads, anchors, decoding of boxes. What is written here is
what mmdet does with data-dependent Python branches or mmcv's operators, which runtimes have not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModel
from torch import nn
from torchvision.ops import nms

Detections = tuple[torch.Tensor, ...]
"""Boxes (K, 4), scores (K), labels (K), and of instance segmentors masks (K, H, W)."""


class WholeDetector(nn.Module, ABC):
    """A detector for one image of one size.

    Args:
        model: From :func:`mmvmlp.inference.trained_model.load_trained_model`; it is copied.
        height: Of the image.
        width: Of the image.
    """

    task: ClassVar[str] = 'detection'
    """The model's task, as in the JSON file of predictions."""

    def __init__(self, model: BaseModel, height: int, width: int) -> None:
        super().__init__()
        self.model = deepcopy(model)
        self.shape = (height, width)
        self.anchors = self._anchors()

    @abstractmethod
    def forward(self, images: torch.Tensor) -> Detections:
        """Detect.

        Args:
            images: (1, C, H, W), normalised and padded.

        Returns:
            Boxes (K, 4) as x1, y1, x2, y2 in pixels of the padded image; scores (K), the highest
            first; labels (K); and of instance segmentors the masks of the boxes' classes, as
            probabilities (K, height, width) that span the box.
        """

    @abstractmethod
    def dense_head(self) -> Any:
        """Return the head that scores all anchors."""

    def output_names(self) -> list[str]:
        """Name the outputs."""
        return ['boxes', 'scores', 'labels']

    @torch.no_grad()
    def _anchors(self) -> list[torch.Tensor]:
        channels = self.model.backbone.in_channels
        maps = self.model.extract_feat(torch.zeros(1, channels, *self.shape))
        scores, *_ = self.dense_head()(maps)
        sizes = [level.shape[2:] for level in scores]
        anchors: list[torch.Tensor] = self.dense_head().prior_generator.grid_priors(
            sizes, device='cpu'
        )
        return anchors

    def _best_anchors(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return the boxes, ranks, labels and levels of the best anchors of each level.

        Ranks are logits where scores are their sigmoid: ONNX Runtime rounds the sigmoids of all bad
        anchors to a few values, in the order of which mmdet's proposals would be lost.
        """
        head = self.dense_head()
        classes = head.cls_out_channels if head.use_sigmoid_cls else head.cls_out_channels - 1
        found: list[tuple[torch.Tensor, ...]] = []
        for level, (logits, deltas, anchors) in enumerate(
            zip(*head(maps), self.anchors, strict=True)
        ):
            logits = logits[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
            ranks = logits if head.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
            number, total = head.test_cfg.get('nms_pre', -1), ranks.numel()
            best, index = ranks.flatten().topk(min(number, total) if number > 0 else total)
            anchor = index // classes
            deltas = deltas[0].permute(1, 2, 0).reshape(-1, 4)
            found.append(
                (
                    anchors[anchor],
                    deltas[anchor],
                    best,
                    index % classes,
                    torch.full_like(index, level),
                )
            )
        anchors, deltas, ranks, labels, levels = (
            torch.cat(parts) for parts in zip(*found, strict=True)
        )
        boxes = head.bbox_coder.decode(anchors, deltas, max_shape=self.shape)
        return boxes, ranks, labels, levels


def whole_detector(model: BaseModel, height: int, width: int) -> WholeDetector:
    """Make a detector exportable as a whole.

    Args:
        model: From :func:`mmvmlp.inference.trained_model.load_trained_model`; it is copied.
        height: Of its images.
        width: Of its images.

    Raises:
        ValueError: If a part of it is of a kind that is not accepted.
    """
    from mmcv.ops import RoIAlign
    from mmdet.models import dense_heads, detectors, roi_heads
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

    def check(part: Any, *accepted: type) -> None:
        if type(part) not in accepted:
            raise ValueError(
                f"mmdet's {type(part).__name__} cannot be exported whole, only "
                f'{" and ".join(kind.__name__ for kind in accepted)}; leave --whole out to export '
                'the pyramid'
            )

    def check_suppression(config: Any) -> None:
        if config.nms.get('type', 'nms') != 'nms' or set(config.nms) - {'type', 'iou_threshold'}:
            raise ValueError(
                f'test_cfg.nms={dict(config.nms)}: a detector is exported whole with '
                "dict(type='nms', iou_threshold=...) only"
            )

    one_stage = hasattr(model, 'bbox_head')
    check(
        model,
        *(detectors.RetinaNet, detectors.SingleStageDetector),
        *(detectors.FasterRCNN, detectors.MaskRCNN),
    )
    dense = model.bbox_head if one_stage else model.rpn_head
    check(dense, dense_heads.RetinaHead if one_stage else dense_heads.RPNHead)
    check(dense.bbox_coder, DeltaXYWHBBoxCoder)
    check_suppression(dense.test_cfg)
    if one_stage:
        return OneStageDetector(model, height, width)
    roi_head = model.roi_head
    check(roi_head, roi_heads.StandardRoIHead)
    check(
        roi_head.bbox_head,
        *(roi_heads.Shared2FCBBoxHead, roi_heads.Shared4Conv1FCBBoxHead),
    )
    check(roi_head.bbox_head.bbox_coder, DeltaXYWHBBoxCoder)
    check_suppression(roi_head.test_cfg)
    extractors = [roi_head.bbox_roi_extractor]
    if roi_head.with_mask:
        check(roi_head.mask_head, roi_heads.FCNMaskHead)
        extractors.append(roi_head.mask_roi_extractor)
    for extractor in extractors:
        check(extractor, roi_heads.SingleRoIExtractor)
        for layer in extractor.roi_layers:
            check(layer, RoIAlign)
    return TwoStageDetector(model, height, width)


class OneStageDetector(WholeDetector):
    """RetinaNet."""

    def dense_head(self) -> Any:
        """Return the head that scores all anchors."""
        return self.model.bbox_head

    def forward(self, images: torch.Tensor) -> Detections:
        """Detect."""
        boxes, ranks, labels, _ = self._best_anchors(self.model.extract_feat(images))
        head, config = self.dense_head(), self.dense_head().test_cfg
        scores = ranks.sigmoid() if head.use_sigmoid_cls else ranks
        accepted = large_enough(boxes, config) & (scores > config.get('score_thr', 0))
        kept = kept_by_suppression(boxes, ranks, labels, accepted, config)
        return boxes[kept], scores[kept], labels[kept]


class TwoStageDetector(WholeDetector):
    """Faster R-CNN and Mask R-CNN."""

    def __init__(self, model: BaseModel, height: int, width: int) -> None:
        super().__init__(model, height, width)
        for layer in self.model.modules():
            # mmcv's RoIAlign, whose operator no runtime has.
            if hasattr(layer, 'use_torchvision'):
                layer.use_torchvision = True

    def dense_head(self) -> Any:
        """Return the head that scores all anchors."""
        return self.model.rpn_head

    def output_names(self) -> list[str]:
        """Name the outputs."""
        return [*super().output_names(), *(['masks'] if self.model.roi_head.with_mask else [])]

    def forward(self, images: torch.Tensor) -> Detections:
        """Detect."""
        maps = self.model.extract_feat(images)
        proposals = self._proposals(maps)
        boxes, scores, labels = self._classified(maps, proposals)
        config = self.model.roi_head.test_cfg
        kept = kept_by_suppression(boxes, scores, labels, scores > config.score_thr, config)
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        if not self.model.roi_head.with_mask:
            return boxes, scores, labels
        return boxes, scores, labels, self._masks(maps, boxes, labels)

    def _proposals(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        boxes, ranks, _, levels = self._best_anchors(maps)
        config = self.dense_head().test_cfg
        accepted = large_enough(boxes, config)
        return boxes[kept_by_suppression(boxes, ranks, levels, accepted, config)]

    def _classified(
        self, maps: Sequence[torch.Tensor], proposals: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head = self.model.roi_head.bbox_head
        # Decoding asks whether there are any, and the best anchor always is one.
        torch._check(proposals.shape[0] > 0)  # type: ignore[no-untyped-call]
        logits, deltas = head(roi_features(self.model.roi_head.bbox_roi_extractor, maps, proposals))
        scores = logits.softmax(-1)[:, :-1]
        classes = scores.shape[1]
        regressed = 1 if head.reg_class_agnostic else classes
        boxes = head.bbox_coder.decode(
            proposals[:, None].expand(-1, regressed, 4).reshape(-1, 4),
            deltas.reshape(-1, 4),
            max_shape=self.shape,
        )
        boxes = boxes.reshape(-1, regressed, 4).expand(-1, classes, 4).reshape(-1, 4)
        labels = torch.arange(classes).expand(scores.shape[0], classes)
        return boxes, scores.flatten(), labels.flatten()

    def _masks(
        self, maps: Sequence[torch.Tensor], boxes: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        head = self.model.roi_head.mask_head
        # An image may have no detection, but operators are only sure to run on some: one more.
        boxes, labels = (
            torch.cat([part, part.new_zeros(1, *part.shape[1:])]) for part in (boxes, labels)
        )
        logits = head(roi_features(self.model.roi_head.mask_roi_extractor, maps, boxes))
        of_class = 0 if head.class_agnostic else labels
        masks: torch.Tensor = logits[torch.arange(labels.shape[0]), of_class][:-1]
        return masks.sigmoid()


def large_enough(boxes: torch.Tensor, config: Any) -> torch.Tensor:
    """Return which boxes have more than the smallest height and width."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    smallest: float = config.get('min_bbox_size', -1)
    return (width > smallest) & (height > smallest)


def kept_by_suppression(
    boxes: torch.Tensor,
    ranks: torch.Tensor,
    groups: torch.Tensor,
    accepted: torch.Tensor,
    config: Any,
) -> torch.Tensor:
    """Suppress boxes that overlap with a better one of their group.

    Args:
        boxes: (N, 4).
        ranks: (N), greater for better ones.
        groups: (N), classes or levels.
        accepted: (N), False for boxes to leave out.
        config: A ``test_cfg`` of mmdet.

    Returns:
        Indices of the remaining boxes, the best first.
    """
    candidates = accepted.nonzero()[:, 0]
    # As in mmcv: boxes of different groups are moved apart.
    distance = torch.where(accepted[:, None], boxes, 0).max() + 1
    apart = boxes + (groups.to(boxes) * distance)[:, None]
    kept = nms(apart[candidates], ranks[candidates], config.nms.iou_threshold)
    best: torch.Tensor = kept[: config.max_per_img]
    return candidates[best]


def roi_features(extractor: Any, maps: Sequence[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
    """Return the features of boxes, each from the map of its size.

    Args:
        extractor: mmdet's ``SingleRoIExtractor``.
        maps: Of one image.
        boxes: (K, 4).

    Returns:
        (K, C, height, width).
    """
    maps = maps[: extractor.num_inputs]
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1)
    levels = extractor.map_roi_levels(rois, len(maps))
    features = []
    for level, (layer, feature_map) in enumerate(zip(extractor.roi_layers, maps, strict=True)):
        here = (levels == level)[:, None]
        # A box without area costs no samples, and no level needs another number of boxes.
        sampled = layer(feature_map, rois * here)
        features.append(torch.where(here[..., None, None], sampled, 0))
    return torch.stack(features).sum(0)
