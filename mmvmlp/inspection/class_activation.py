"""Class activation maps: where a classifier sees its class.

Source: Selvaraju et al., "Grad-CAM" (arXiv 1610.02391), by the package ``grad-cam``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mmvmlp.backbones.base import VisionMLP, find_backbone
from mmvmlp.inspection.layers import Layer, layers_of, outputs_of
from mmvmlp.optional_packages import import_optional

SMALLEST_MAP = 4
"""Rows and columns that the map of a layer must have for a picture of it."""


@dataclass(frozen=True)
class ClassActivation:
    """Class activation map of an image.

    Attributes:
        label: The class: the one with the highest score.
        score: Its probability.
        drawing: The image under the map, (H, W, 3), RGB, uint8.
        layer: The layer of the map.
    """

    label: int
    score: float
    drawing: torch.Tensor
    layer: Layer


def map_classes(
    classifier: nn.Module, images: torch.Tensor, pictures: torch.Tensor
) -> list[ClassActivation]:
    """Map the best class of each image, on the last block whose map has 4 x 4 positions.

    Args:
        classifier: A model that gives logits when it is called on images, in evaluation mode.
        images: (N, channels, H, W), as the classifier expects them.
        pictures: The images as they are shown, (N, H, W, 3), RGB, uint8.

    Raises:
        ModuleNotFoundError: If the package ``grad-cam`` is not installed.
        TypeError: If the model is no classifier.
        ValueError: If the images are too small.
    """
    grad_cam = import_optional('pytorch_grad_cam', 'inspect')
    from pytorch_grad_cam.utils.image import show_cam_on_image

    if not hasattr(classifier, 'head') or hasattr(classifier, 'bbox_head'):
        raise TypeError(
            f'model is a {type(classifier).__name__}: a classifier of mmpretrain is accepted for '
            'class activation maps'
        )
    backbone, _ = find_backbone(classifier)
    layer = _last_with_map(backbone, images)
    with grad_cam.GradCAM(model=classifier, target_layers=[layer.module]) as maps_of:
        maps = maps_of(input_tensor=images, targets=None)
        scores, labels = maps_of.outputs.detach().softmax(1).max(1)
    return [
        ClassActivation(
            int(label),
            float(score),
            torch.from_numpy(
                show_cam_on_image(picture.numpy().astype(np.float32) / 255, of_image, use_rgb=True)
            ),
            layer,
        )
        for label, score, picture, of_image in zip(labels, scores, pictures, maps, strict=True)
    ]


@torch.no_grad()
def _last_with_map(backbone: VisionMLP, images: torch.Tensor) -> Layer:
    layers = layers_of(backbone)
    large = [
        layer
        for layer, output in zip(layers, outputs_of(backbone, layers, images[:1]), strict=True)
        if layer.is_block and min(output.shape[2:]) >= SMALLEST_MAP
    ]
    if not large:
        height, width = images.shape[2:]
        raise ValueError(
            f'images of {height}x{width} pixels: no block has a map of {SMALLEST_MAP}x'
            f'{SMALLEST_MAP} positions, which class activation maps need'
        )
    return large[-1]
