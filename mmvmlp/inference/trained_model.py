"""Models with the weights of a checkpoint, ready to predict."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope

from mmvmlp.checkpoints import (
    check_trained_checkpoint,
    checkpoint_file,
    class_names,
    extract_state_dict,
    read_checkpoint,
)


def load_trained_model(config: Config, checkpoint: str | Path, device: str) -> BaseModel:
    """Build the model of a config with the weights of a checkpoint, ready to predict.

    The toolboxes' own functions for that unpickle whatever a file holds, and go on with a part
    of the weights.

    Args:
        config: As the toolbox's ``test.py`` takes it.
        checkpoint: Of the whole model, as training writes it; or the name of a published one.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.

    Returns:
        The model, with ``cfg`` and ``dataset_meta`` as the toolboxes' inference functions expect.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it cannot be read or is of another model.
        ValueError: If the device is not there.
    """
    check_device(device)
    return trained_model(config, read_checkpoint(checkpoint_file(checkpoint)), checkpoint, device)


def trained_model(
    config: Config, contents: Mapping[str, Any], origin: str | Path, device: str = 'cpu'
) -> BaseModel:
    """Build the model of a config with the weights of a checkpoint that was read.

    Args:
        config: See :func:`load_trained_model`.
        contents: From :func:`~mmvmlp.checkpoints.read_checkpoint`.
        origin: File to name in errors.
        device: See :func:`load_trained_model`.

    Raises:
        CheckpointError: If the checkpoint is of another model.
    """
    init_default_scope(config.get('default_scope') or 'mmengine')
    # As the runner does: mmpretrain's configs have it beside the model.
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    model = revert_sync_batchnorm(MODELS.build(config.model))
    check_trained_checkpoint(model, contents, origin)
    model.load_state_dict(extract_state_dict(contents))
    model.cfg = config
    model.dataset_meta = _dataset_meta(config, contents)
    # mmpretrain's names of the same two.
    model._config, model._dataset_meta = model.cfg, model.dataset_meta
    model.to(device)
    model.eval()
    return model


def check_device(device: str) -> None:
    """Check that there is such a device.

    Raises:
        ValueError: If there is not.
    """
    if not re.fullmatch(r'cpu|cuda(:\d+)?', device):
        raise ValueError(f"device={device!r}: 'cpu', 'cuda' and 'cuda:N' are accepted")
    number = int(device.partition(':')[2] or 0)
    if device != 'cpu' and number >= torch.cuda.device_count():
        raise ValueError(f'device={device!r}: PyTorch sees {torch.cuda.device_count()} GPUs here')


def _dataset_meta(config: Config, contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class names and colours with which a model was trained.

    The checkpoint knows best; after it come the config's test data and its data set's own names.
    """
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    dataset_type = DATASETS.get(dataset['type']) if isinstance(dataset.get('type'), str) else None
    merged: dict[str, Any] = {}
    for source in (
        getattr(dataset_type, 'METAINFO', None),
        dataset.get('metainfo'),
        class_names(contents),
    ):
        named = {str(key).lower(): value for key, value in (source or {}).items()}
        # Colours belong to the classes they come with.
        if 'classes' in named:
            merged.pop('palette', None)
        merged.update(named)
    # A file that the config names; the reader refuses one that a checkpoint names.
    if isinstance(merged.get('classes'), str):
        merged['classes'] = Path(merged['classes']).read_text(encoding='utf-8').splitlines()
    return merged
