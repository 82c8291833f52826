"""Checkpoints: read safely, recognise, convert, load, report."""

from mmvmlp.checkpoints.loading import (
    CheckpointReport,
    OfficialPretrained,
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
    load_checkpoint,
)
from mmvmlp.checkpoints.mmengine_reading import read_safely_in_mmengine
from mmvmlp.checkpoints.reading import CheckpointError, extract_state_dict, read_checkpoint
from mmvmlp.checkpoints.resuming import (
    check_averaged_weights,
    check_optimizer_state,
    forget_files_elsewhere,
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
    'extract_state_dict',
    'forget_files_elsewhere',
    'load_checkpoint',
    'read_checkpoint',
]

# Configs import this package: whatever runs them, mmengine then reads no code from a checkpoint.
read_safely_in_mmengine()
