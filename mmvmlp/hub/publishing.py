"""Publish a trained model: its weights alone, its config, and a model card."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmvmlp.checkpoints import (
    CheckpointError,
    checkpoint_bytes,
    checkpoint_file,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.hub.folders import CARD, CONFIG, from_pretrained
from mmvmlp.hub.model_card import Provenance, model_card
from mmvmlp.inference.trained_model import trained_model
from mmvmlp.output_files import check_folder_can_be_written

OF_THE_RUN = ('work_dir', 'load_from', 'resume', 'launcher')
"""Variables that say where and how a training ran, and nothing about the model."""


def publish_checkpoint(
    config: Config,
    checkpoint: str | Path,
    folder: Path,
    *,
    name: str,
    about: Provenance,
    use_ema: bool = False,
) -> Path:
    """Write the folder of a published model, as the Hugging Face Hub has them.

    The weights are a safetensors file with the first 8 digits of its SHA-256 in its name, without
    optimizer state and records. The folder appears only when the model loads from it.

    Args:
        config: Config with which the model was trained.
        checkpoint: Checkpoint of the whole model.
        folder: Folder to create.
        name: Name of the model.
        about: Licence, data and results for the model card.
        use_ema: True to publish the moving average of the weights. mmengine's own averages are
            what its checkpoints hold as the model's weights.

    Returns:
        File of the weights.

    Raises:
        FileExistsError: If the folder exists and is not empty.
        CheckpointError: If the checkpoint cannot be read or is of another model.
        ImportError: If huggingface_hub is not installed.
        ValueError: If the name is not accepted, or the config cannot be written as values.
        OSError: If the folder cannot be written.
    """
    if not re.fullmatch(r'[\w.-]+', name):
        raise ValueError(f'name={name!r}: letters, digits and the signs _.- are accepted')
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f'folder {str(folder)!r} exists and is not empty')
    check_folder_can_be_written(folder, 'folder')
    # Building a model changes its config.
    text = _text(config)
    file = checkpoint_file(checkpoint)
    model = trained_model(config, _weights(read_checkpoint(file), file, use_ema), checkpoint)
    contents = checkpoint_bytes('.safetensors', model.state_dict(), model.dataset_meta)
    weights = f'{name}-{hashlib.sha256(contents).hexdigest()[:8]}.safetensors'
    card = model_card(name, config, model, weights, about)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix='.') as parent:
        # The folder inside has the usual permissions, unlike the temporary one.
        made = Path(parent) / folder.name
        made.mkdir()
        (made / weights).write_bytes(contents)
        (made / CONFIG).write_text(text, encoding='utf-8')
        (made / CARD).write_text(card, encoding='utf-8')
        published = from_pretrained(made).state_dict()
        if not all(torch.equal(published[key], value) for key, value in model.state_dict().items()):
            raise CheckpointError(f'checkpoint {str(checkpoint)!r} does not load as it was written')
        if folder.is_dir():
            folder.rmdir()
        shutil.move(made, folder)
    return folder / weights


def _weights(contents: Mapping[str, Any], file: str | Path, use_ema: bool) -> dict[str, Any]:
    # mmengine's hook swaps the two in its checkpoints, so that their weights are the average.
    averaged = isinstance(contents.get('ema_state_dict'), Mapping)
    tensors = extract_state_dict(contents, file, use_ema and not averaged)
    return {'state_dict': tensors, 'meta': contents.get('meta') or {}}


def _text(config: Config) -> str:
    kept = {key: value for key, value in config.to_dict().items() if key not in OF_THE_RUN}
    return str(Config(kept).pretty_text)
