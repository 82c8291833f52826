"""A checkpoint's predictions on the validation data of its config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Subset
from tqdm import tqdm

from mmvmlp.datasets.loading import BACKEND_NAME
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.visualization.drawing import ImageArray


@dataclass(frozen=True)
class Validation:
    """Validation images of a config, and the model of a checkpoint.

    Attributes:
        model: In the state to predict.
        dataset: All validation data.
        indices: The images that are predicted, taken evenly over the data.
        config: Of the training.
    """

    model: BaseModel
    dataset: Any
    indices: Sequence[int]
    config: Config

    @property
    def class_names(self) -> list[str]:
        """The names of the model's classes."""
        return [str(name) for name in self.model.dataset_meta.get('classes') or ()]

    def predictions(self) -> Iterator[tuple[int, Any]]:
        """Predict, in the batches of the config, as ``mmvmlp test`` does.

        Yields:
            An image's number in the data, and what the toolbox's model returns for it.
        """
        settings = self.config.val_dataloader.copy()
        settings.dataset = Subset(self.dataset, self.indices)
        settings.sampler = {'type': 'DefaultSampler', 'shuffle': False}
        settings.pop('batch_sampler', None)
        loader = Runner.build_dataloader(settings, seed=0)
        numbers = iter(self.indices)
        with tqdm(total=len(self.indices), unit='image', desc='predicting') as progress:
            for batch in loader:
                with torch.no_grad():
                    found = self.model.test_step(batch)
                for sample in found:
                    yield next(numbers), sample
                progress.update(len(found))

    def image(self, number: int) -> ImageArray:
        """Read an image, RGB."""
        read = LoadImageFromFile(backend_args={'backend': BACKEND_NAME})
        image: ImageArray = mmcv.bgr2rgb(read(self.info(number))['img'])
        return image

    def info(self, number: int) -> dict[str, Any]:
        """Return an image's path and annotations, as the toolbox's data set has them."""
        info: dict[str, Any] = self.dataset.get_data_info(number)
        return info

    def caption(self, number: int) -> str:
        """Return the name of an image's file."""
        return Path(self.info(number)['img_path']).name


def prepare_validation(
    config: Config, checkpoint: str | Path, count: int, device: str = 'cpu'
) -> Validation:
    """Load a checkpoint, and the validation data of its config.

    Args:
        config: Of the training.
        checkpoint: Of the whole model.
        count: The most images to predict.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If it cannot be read or is of another model.
    """
    model = load_trained_model(config, checkpoint, device)
    # pycocotools tells how long it took to read annotations.
    with redirect_stdout(StringIO()):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    return Validation(model, dataset, chosen.tolist(), config)
