"""Eight-bit integers after training, by NNCF: weights and activations of products."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel

from mmvmlp.deploy.metadata import test_pipeline
from mmvmlp.optional_packages import import_optional


@torch.no_grad()
def calibration_images(
    model: BaseModel, config: Config, files: Sequence[Path]
) -> list[torch.Tensor]:
    """Read images as the model sees them in a test.

    Args:
        model: Its data preprocessor normalises and pads.
        config: Its test pipeline reads and resizes.
        files: Image files.

    Returns:
        Batches of one image, (1, 3, H, W).
    """
    from mmcv.transforms import Compose

    pipeline = Compose(test_pipeline(config))
    batches = []
    for index, file in enumerate(files):
        read = pipeline({'img_path': str(file), 'img_id': index})
        batch: Any = model.data_preprocessor(pseudo_collate([read]), False)
        batches.append(batch['inputs'])
    return batches


def quantized(model: Any, images: Sequence[torch.Tensor]) -> Any:
    """Quantise an OpenVINO model to eight-bit integers.

    Args:
        model: An ``openvino.Model``.
        images: Of the kind that the model will see, to measure the ranges of activations; some
            hundred are enough.

    Returns:
        The quantised ``openvino.Model``.

    Raises:
        ModuleNotFoundError: If nncf is not installed.
    """
    # Its quantised ONNX files do not run in OpenVINO.
    nncf = import_optional('nncf', 'deploy')
    batches = [batch.numpy() for batch in images]
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        # Activations after a ReLU or a GELU are far from symmetric.
        preset=nncf.QuantizationPreset.MIXED,
    )
