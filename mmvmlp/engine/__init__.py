"""Hooks and optimizer constructors for configs."""

from mmvmlp.engine.autocast_hook import AutocastHook
from mmvmlp.engine.checkpoint_hook import StrictCheckpointHook
from mmvmlp.engine.fuse_hook import FuseHook
from mmvmlp.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mmvmlp.engine.timed_logger_hook import TimedLoggerHook

__all__ = [
    'AutocastHook',
    'FuseHook',
    'LayerDecayOptimWrapperConstructor',
    'StrictCheckpointHook',
    'TimedLoggerHook',
]
