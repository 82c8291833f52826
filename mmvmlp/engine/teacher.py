"""Frozen teachers of distillation: classifiers of mmpretrain and timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmpretrain.apis.model import ModelHub, get_model
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.checkpoints import (
    CheckpointError,
    extract_state_dict,
    find_weights,
    load_checkpoint,
    read_checkpoint,
)

TIMM = 'timm/'


class Teacher:
    """Frozen classifier that gives logits for the images of a student.

    It is no ``nn.Module``, so that a model that has one neither saves, trains, averages nor copies
    it. Its images are the student's, as augmented and mixed, but with the normalisation and the
    channel order that the teacher expects.

    Args:
        model: File of an mmpretrain config, name of an mmpretrain model, or ``'timm/NAME'``.
        checkpoint: A file or an http(s) URL, True for the published weights of the name, or False
            for random weights, which is for tests only.
        image_size: Side in pixels to which the student's images are interpolated; None if the
            teacher takes them as they are.
        num_classes: Classes of a timm model without its published weights; None for timm's own.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ModuleNotFoundError: If a timm model is named and timm is not installed.
        ValueError: If the name is unknown or has no published weights, or the checkpoint does not
            fit.
    """

    def __init__(
        self, model: str, checkpoint: str | bool, image_size: int | None, num_classes: int | None
    ) -> None:
        if model.startswith(TIMM):
            network, preprocessor = _timm_classifier(model, checkpoint, num_classes)
        else:
            network, preprocessor = _mmpretrain_classifier(model, checkpoint)
        self.model = model
        self.network = network.eval().requires_grad_(False)
        self.normalization = Normalization(preprocessor, f'teacher.model={model!r}')
        self.image_size = image_size

    def __deepcopy__(self, memo: dict[int, Any]) -> Teacher:
        return self

    @torch.no_grad()
    def logits(self, images: torch.Tensor, normalization: Normalization) -> torch.Tensor:
        """Return logits (N, classes) in float32.

        Args:
            images: Normalised images of the student (N, 3, H, W).
            normalization: The student's.
        """
        self.network.to(images.device)
        images = normalization.undo(images)
        if normalization.to_rgb != self.normalization.to_rgb:
            images = images.flip(1)
        images = self.normalization.apply(images)
        if self.image_size is not None:
            size = (self.image_size, self.image_size)
            images = F.interpolate(images, size, mode='bicubic', antialias=True)
        return cast(torch.Tensor, self.network(images)).float()


class Normalization:
    """Normalisation of a data preprocessor: mean and standard deviation by channel, and order.

    Args:
        preprocessor: A ``ClsDataPreprocessor`` of mmpretrain, which takes BGR images as mmcv reads
            them.
        owner: Model to name in errors.

    Raises:
        ValueError: If it is another preprocessor.
    """

    def __init__(self, preprocessor: Any, owner: str) -> None:
        if not isinstance(preprocessor, ClsDataPreprocessor):
            raise ValueError(
                f'{owner} has the data preprocessor {type(preprocessor).__name__}; a '
                'ClsDataPreprocessor is accepted'
            )
        self.preprocessor = preprocessor
        self.to_rgb: bool = preprocessor.to_rgb

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise images with values from 0 to 255."""
        mean, std = self._statistics(images)
        return (images - mean) / std

    def undo(self, images: torch.Tensor) -> torch.Tensor:
        """Return normalised images to values from 0 to 255."""
        mean, std = self._statistics(images)
        return images * std + mean

    def _statistics(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not hasattr(self.preprocessor, 'mean'):
            return images.new_zeros(1), images.new_ones(1)
        return self.preprocessor.mean.to(images), self.preprocessor.std.to(images)


def _timm_classifier(
    model: str, checkpoint: str | bool, num_classes: int | None
) -> tuple[nn.Module, ClsDataPreprocessor]:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'teacher.model={model!r}: timm is not installed; it comes with: '
            'pip install "mmvmlp[distillation]"',
            name=error.name,
        ) from error
    name = model.removeprefix(TIMM)
    if name not in timm.list_models() and name not in timm.list_pretrained():
        raise ValueError(
            f'teacher.model={model!r}: timm {timm.__version__} has no such model; see '
            'timm.list_models() and timm.list_pretrained()'
        )
    if checkpoint is True:
        if not timm.is_model_pretrained(name):
            raise ValueError(_unpublished(model))
        network: nn.Module = timm.create_model(name, pretrained=True)
    else:
        network = timm.create_model(name, num_classes=num_classes)
        if checkpoint:
            _load(network, checkpoint)
    expected: Any = network.pretrained_cfg
    mean, std = ([255 * value for value in expected[key]] for key in ('mean', 'std'))
    return network, ClsDataPreprocessor(mean=mean, std=std, to_rgb=True)


def _mmpretrain_classifier(model: str, checkpoint: str | bool) -> tuple[nn.Module, Any]:
    if Path(model).suffix == '.py':
        if not Path(model).is_file():
            raise FileNotFoundError(f'teacher.model={model!r}: the config does not exist')
        if checkpoint is True:
            raise ValueError(_unpublished(model))
    else:
        try:
            published = ModelHub.get(model).weights
        except ValueError as error:
            raise ValueError(
                f"teacher.model={model!r} is unknown; accepted are 'timm/NAME', the file of a "
                'config, and the names of mmpretrain.list_models()'
            ) from error
        if checkpoint is True:
            if published is None:
                raise ValueError(_unpublished(model))
            # This scheme marks addresses of our networks' weights, which are downloaded by name.
            ours = published.startswith('mmvmlp://')
            checkpoint = find_weights(published[len('mmvmlp://') :]).name if ours else published
    network: nn.Module = get_model(model, pretrained=False)
    if checkpoint:
        _load(network, cast(str, checkpoint))
    return network, network.data_preprocessor


def _unpublished(model: str) -> str:
    return (
        f'teacher.model={model!r} has no published weights; name a file: '
        'teacher=dict(model=..., checkpoint=...)'
    )


def _load(network: nn.Module, checkpoint: str) -> None:
    """Load a checkpoint that covers the whole classifier.

    Raises:
        CheckpointError: If it does not.
    """
    if isinstance(getattr(network, 'backbone', None), VisionMLP):
        # Converts published formats, and accepts other heads.
        report = load_checkpoint(network, checkpoint)
        if not (report.missing or report.mismatched):
            return
        misfit = str(report)
    else:
        try:
            network.load_state_dict(extract_state_dict(read_checkpoint(checkpoint), checkpoint))
            return
        except RuntimeError as error:
            misfit = str(error)
    raise CheckpointError(
        f'teacher.checkpoint={checkpoint!r} does not fit the whole teacher, classes included\n'
        f'{misfit}'
    )
