"""Hooks and optimizer constructors for configs."""

from mmvmlp.engine.autocast_hook import AutocastHook
from mmvmlp.engine.checkpoint_hook import StrictCheckpointHook
from mmvmlp.engine.durable_checkpoint_hook import CheckpointHook
from mmvmlp.engine.exact_resume_hook import ExactResumeHook
from mmvmlp.engine.finite_loss_hook import FiniteLossHook
from mmvmlp.engine.fuse_hook import FuseHook
from mmvmlp.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mmvmlp.engine.timed_logger_hook import TimedLoggerHook

__all__ = [
    'AutocastHook',
    'CheckpointHook',
    'ExactResumeHook',
    'FiniteLossHook',
    'FuseHook',
    'LayerDecayOptimWrapperConstructor',
    'StrictCheckpointHook',
    'TimedLoggerHook',
]
