"""Class activation maps: where a classifier sees its class.

Source: Selvaraju et al., "Grad-CAM" (arXiv 1610.02391), by the package ``grad-cam``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.inspection.layers import layers_of


@dataclass(frozen=True)
class ClassActivation:
    """Class activation map of an image.

    Attributes:
        label: The class: the one with the highest score.
        score: Its probability.
        drawing: The image under the map, (H, W, 3), RGB, uint8.
    """

    label: int
    score: float
    drawing: torch.Tensor


def import_grad_cam() -> Any:
    """Import the package ``grad-cam``.

    Raises:
        ModuleNotFoundError: If it is not installed, with the command that installs it.
    """
    try:
        import pytorch_grad_cam
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'grad-cam is not installed; it comes with: pip install "mmvmlp[inspect]"',
            name=error.name,
        ) from error
    return pytorch_grad_cam


def map_classes(
    classifier: nn.Module, images: torch.Tensor, pictures: torch.Tensor
) -> list[ClassActivation]:
    """Map the best class of each image, on the output of the last block.

    Args:
        classifier: A model that gives logits when it is called on images, in evaluation mode.
        images: (N, channels, H, W), as the classifier expects them.
        pictures: The images as they are shown, (N, H, W, 3), RGB, uint8.

    Raises:
        ModuleNotFoundError: If the package ``grad-cam`` is not installed.
        TypeError: If the model is no classifier.
    """
    grad_cam = import_grad_cam()
    from pytorch_grad_cam.utils.image import show_cam_on_image

    if not hasattr(classifier, 'head') or hasattr(classifier, 'bbox_head'):
        raise TypeError(
            f'model is a {type(classifier).__name__}: a classifier of mmpretrain is accepted for '
            'class activation maps'
        )
    backbone, _ = find_backbone(classifier)
    last = layers_of(backbone)[-1].module
    with grad_cam.GradCAM(model=classifier, target_layers=[last]) as maps_of:
        maps = maps_of(input_tensor=images, targets=None)
        scores, labels = maps_of.outputs.detach().softmax(1).max(1)
    return [
        ClassActivation(
            int(label),
            float(score),
            torch.from_numpy(
                show_cam_on_image(picture.numpy().astype(np.float32) / 255, of_image, use_rgb=True)
            ),
        )
        for label, score, picture, of_image in zip(labels, scores, pictures, maps, strict=True)
    ]
