"""Metadata of exported files: their images and outputs, as text by plain keys.

============== ============================================================================
task           ``classification``, ``segmentation`` or ``detection``
mean, std      JSON lists, of pixels from 0 to 255: the model takes ``(image - mean) / std``
channel_order  ``RGB`` or ``BGR``, of the images and of ``mean`` and ``std``
class_names    JSON list
minimum_size   smallest height and width in pixels
fixed_size     the only height and width in pixels, of a whole detector a JSON list of both; empty
               if any size is accepted
size_divisor   images are padded below and to the right to multiples of it, after normalisation
pad_value      value of the padding
test_pipeline  JSON list: the transforms of the test data, by their names in the toolbox
outputs        JSON list: name, and for maps channels and stride
weights        SHA-256 of the weights that were exported
precision      ``fp32`` or ``int8``
mmvmlp_version version of the package that wrote the file
============== ============================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

import mmvmlp
from mmvmlp.deploy.openvino_core import openvino_core
from mmvmlp.deploy.parts import ExportedPart
from mmvmlp.deploy.sizes import ImageSizes
from mmvmlp.optional_packages import import_optional

OPENVINO_SECTION = 'mmvmlp'
"""Section of an OpenVINO model's ``rt_info`` that holds the keys."""


def describe(
    model: BaseModel,
    task: str,
    config: Config,
    sizes: ImageSizes,
    outputs: Sequence[Mapping[str, Any]],
    precision: str,
) -> dict[str, str]:
    """Describe a model of which a part, or the whole, is to be exported.

    Args:
        model: With the weights.
        task: Of the model.
        config: Of the model, as :func:`mmvmlp.inference.trained_model.load_trained_model` left it.
        sizes: Sizes of the images.
        outputs: From :func:`describe_outputs`.
        precision: Of the file.
    """
    settings = config.model.get('data_preprocessor') or {}
    mean, std = ([float(value) for value in settings.get(name) or ()] for name in ('mean', 'std'))
    testing = settings.get('test_cfg') or {}
    return {
        'task': task,
        'mean': json.dumps(mean or [0.0] * sizes.channels),
        'std': json.dumps(std or [1.0] * sizes.channels),
        # mmpretrain's name and that of the others.
        'channel_order': 'RGB' if settings.get('to_rgb') or settings.get('bgr_to_rgb') else 'BGR',
        'class_names': json.dumps([str(name) for name in model.dataset_meta.get('classes') or ()]),
        'minimum_size': str(sizes.minimum),
        'fixed_size': str(sizes.fixed or ''),
        'size_divisor': str(testing.get('size_divisor') or settings.get('pad_size_divisor') or 1),
        'pad_value': str(settings.get('pad_val') or settings.get('pad_value') or 0),
        'test_pipeline': json.dumps(test_pipeline(config), default=str),
        'outputs': json.dumps(outputs),
        'weights': fingerprint(model),
        'precision': precision,
        'mmvmlp_version': mmvmlp.__version__,
    }


def test_pipeline(config: Config) -> list[dict[str, Any]]:
    """Return the transforms of a config's test data, without those that load annotations."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return [
        dict(step)
        for step in dataset.get('pipeline') or config.get('test_pipeline') or ()
        if not str(step['type']).endswith('LoadAnnotations')
    ]


@torch.no_grad()
def describe_outputs(part: ExportedPart, sizes: ImageSizes) -> list[dict[str, Any]]:
    """Name the outputs of a part, with the channels and strides of maps."""
    images = sizes.of_strides()
    tensors = part(images)
    described: list[dict[str, Any]] = []
    for name, tensor in zip(part.output_names(len(tensors)), tensors, strict=True):
        described.append({'name': name, 'channels': tensor.shape[1]})
        if tensor.ndim == 4:
            described[-1]['stride'] = round(images.shape[2] / tensor.shape[2])
    return described


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of a model's weights, to tell whose export a file is."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read_metadata(file: str | Path) -> dict[str, str]:
    """Return what an exported ``.onnx`` or ``.xml`` file says about itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If onnx or openvino is not installed.
        ValueError: If it is not a file of ``mmvmlp export``.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f'exported file {str(file)!r} does not exist')
    try:
        if file.suffix == '.xml':
            model = openvino_core().read_model(file)
            sections = model.rt_info
            written = sections[OPENVINO_SECTION] if OPENVINO_SECTION in sections else {}
            metadata = {key: str(value.value) for key, value in written.items()}
        else:
            model = import_optional('onnx', 'deploy').load(file)
            metadata = {entry.key: entry.value for entry in model.metadata_props}
    except ImportError:
        raise
    except Exception as error:
        # Errors of the libraries' own kinds.
        raise ValueError(f'exported file {str(file)!r} cannot be read: {error}') from error
    if 'mmvmlp_version' not in metadata:
        raise ValueError(f'file {str(file)!r} was not written by `mmvmlp export`')
    return metadata
