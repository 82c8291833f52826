"""Training and testing: what the toolboxes' runner is given beyond a config."""

from mmvmlp.engine.autocast_hook import AutocastHook

__all__ = ['AutocastHook']
