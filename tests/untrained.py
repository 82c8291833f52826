"""Models without trained weights, and their checkpoints."""

from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmvmlp.build import build_classifier
from mmvmlp.checkpoints.conversion import convert_checkpoint
from mmvmlp.checkpoints.published import find_weights


def build(config, device='meta'):
    """Build a config's model; on 'meta', without the time and the memory that weights take."""
    init_default_scope(config.default_scope)
    model = deepcopy(config.model)
    # Other toolboxes register the same names.
    if '.' not in model.type:
        model.type = f'{config.default_scope}.{model.type}'
    with torch.device(device):
        return MODELS.build(model)


def save_untrained(config_file, checkpoint, classes=None):
    """Save a model with random weights as mmengine's training saves one."""
    config = Config.fromfile(config_file)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    meta = {'dataset_meta': {'classes': classes}} if classes else {}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, checkpoint)
    return checkpoint


def save_published(name, folder):
    """Save a classifier with random weights as its published file, in a folder of them."""
    weights = find_weights(name)
    ours = Path(folder, 'ours.pth')
    Path(folder).mkdir(exist_ok=True)
    torch.save(build_classifier(weights.network).state_dict(), ours)
    convert_checkpoint(ours, Path(folder, weights.file_name), to=weights.format)
