"""What is inspected: a network and the images that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mmvmlp.backbones.arguments import positive_integer
from mmvmlp.backbones.base import VisionMLP, find_backbone
from mmvmlp.build import build_backbone
from mmvmlp.config.loading import load_config
from mmvmlp.datasets.loading import read_image
from mmvmlp.inference.trained_model import load_trained_model

DEFAULT_SIDE = 224
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
SEED = 0


@dataclass(frozen=True)
class Subject:
    """A network and images.

    Attributes:
        model: The whole model, or the backbone alone, in evaluation mode.
        backbone: Its backbone.
        images: (N, channels, H, W), as the model expects them.
        pictures: The images as they are shown, (N, H, W, 3), RGB, uint8; None for noise.
        names: Names of the images.
    """

    model: nn.Module
    backbone: VisionMLP
    images: torch.Tensor
    pictures: torch.Tensor | None
    names: tuple[str, ...]


def find_subject(
    network: str,
    checkpoint: str | None,
    files: Sequence[Path],
    shape: tuple[int, int] | None,
    noise: int,
) -> Subject:
    """Build a network, with its weights, and read images or make noise for it.

    Args:
        network: Name of a backbone, or a config file.
        checkpoint: Of a backbone: published weights, by name or file; by default the weights are
            random. Of a config: the checkpoint of the whole trained model.
        files: Image files; none for noise. They are resized to `shape`, and normalised as the
            model does it; for a backbone alone, with the mean and deviation of ImageNet.
        shape: Height and width of the images; by default 224 x 224, or the backbone's native size.
        noise: Number of images of normally distributed noise, where there are no files.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
        FileNotFoundError: If the config or the checkpoint does not exist.
        ImageReadError: With the path, if an image is damaged.
        TypeError: If the model has no backbone of this package.
        ValueError: If the name, the shape or the number is not accepted.
    """
    model: nn.Module
    if network.endswith('.py'):
        if checkpoint is None:
            raise ValueError(
                f'checkpoint=None: with the config {network!r}, the checkpoint of the whole '
                'trained model is accepted; for random weights, name a backbone'
            )
        model = load_trained_model(load_config(network), checkpoint, 'cpu')
    else:
        # Random weights, alike in each run.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = build_backbone(network, checkpoint).eval()
    backbone, _ = find_backbone(model)
    height, width = shape or _default_shape(backbone)
    positive_integer('height', height)
    positive_integer('width', width)
    if not files:
        count = positive_integer('noise', noise)
        generator = torch.Generator().manual_seed(SEED)
        images = torch.randn(count, backbone.in_channels, height, width, generator=generator)
        return Subject(model, backbone, images, None, tuple(f'noise {i + 1}' for i in range(count)))
    read = np.stack(
        [
            cv2.resize(read_image(file), (width, height), interpolation=cv2.INTER_AREA)
            for file in files
        ]
    )
    pictures = torch.from_numpy(read[..., ::-1].copy())
    return Subject(
        model, backbone, _normalised(model, read), pictures, tuple(file.name for file in files)
    )


def _default_shape(backbone: VisionMLP) -> tuple[int, int]:
    side = DEFAULT_SIDE if backbone.size_free else backbone.arch.image_size
    return side, side


def _normalised(model: nn.Module, images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Normalise BGR images (N, H, W, 3) as a model does it."""
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    if isinstance(model, VisionMLP):
        rgb = tensors.flip(1).float()
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        return (rgb - mean[:, None, None]) / std[:, None, None]
    preprocessor: Any = model.data_preprocessor
    prepared: torch.Tensor = preprocessor({'inputs': list(tensors)})['inputs']
    return prepared
