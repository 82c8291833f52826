"""Checkpoints of models with random weights."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope


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
