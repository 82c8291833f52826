"""Read checkpoints safely, recognise their format, convert and load them."""

from mmvmlp.checkpoints.checks import (
    check_pretrained_modules,
    check_starting_checkpoint,
    check_trained_checkpoint,
)
from mmvmlp.checkpoints.conversion import Conversion, convert_checkpoint, convert_tensors
from mmvmlp.checkpoints.loading import OfficialPretrained, load_checkpoint
from mmvmlp.checkpoints.mmengine_reading import read_safely_in_mmengine
from mmvmlp.checkpoints.published import (
    checkpoint_file,
    find_weights,
    list_weights,
    published_weights,
    weights_file,
)
from mmvmlp.checkpoints.reading import (
    CheckpointError,
    class_names,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.checkpoints.report import CheckpointReport
from mmvmlp.checkpoints.resuming import (
    check_averaged_weights,
    check_optimizer_state,
    drop_outside_checkpoints,
    missing_for_resuming,
)
from mmvmlp.checkpoints.trust import trusted_checkpoints
from mmvmlp.checkpoints.verification import Verification, verify_checkpoint
from mmvmlp.checkpoints.writing import checkpoint_bytes, write_checkpoint

__all__ = [
    'CheckpointError',
    'CheckpointReport',
    'Conversion',
    'OfficialPretrained',
    'Verification',
    'check_averaged_weights',
    'check_optimizer_state',
    'check_pretrained_modules',
    'check_starting_checkpoint',
    'check_trained_checkpoint',
    'checkpoint_bytes',
    'checkpoint_file',
    'class_names',
    'convert_checkpoint',
    'convert_tensors',
    'extract_state_dict',
    'drop_outside_checkpoints',
    'find_weights',
    'list_weights',
    'load_checkpoint',
    'missing_for_resuming',
    'published_weights',
    'read_checkpoint',
    'trusted_checkpoints',
    'verify_checkpoint',
    'weights_file',
    'write_checkpoint',
]

# Configs import this package, so mmengine reads checkpoints safely in every program that runs them.
read_safely_in_mmengine()
