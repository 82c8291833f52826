"""Read checkpoints safely, recognise their format, convert and load them."""

from mmvmlp.checkpoints.loading import (
    CheckpointReport,
    OfficialPretrained,
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
    load_checkpoint,
)
from mmvmlp.checkpoints.mmengine_reading import read_safely_in_mmengine
from mmvmlp.checkpoints.published import (
    checkpoint_file,
    find_weights,
    list_weights,
    published_weights,
    weights_file,
)
from mmvmlp.checkpoints.reading import CheckpointError, extract_state_dict, read_checkpoint
from mmvmlp.checkpoints.resuming import (
    check_averaged_weights,
    check_optimizer_state,
    drop_outside_checkpoints,
)

__all__ = [
    'CheckpointError',
    'CheckpointReport',
    'OfficialPretrained',
    'check_averaged_weights',
    'check_optimizer_state',
    'check_pretrained_modules',
    'check_starting_checkpoint',
    'check_trained_checkpoint',
    'checkpoint_file',
    'extract_state_dict',
    'drop_outside_checkpoints',
    'find_weights',
    'list_weights',
    'load_checkpoint',
    'published_weights',
    'read_checkpoint',
    'weights_file',
]

# Configs import this package, so mmengine reads checkpoints safely in every program that runs them.
read_safely_in_mmengine()
