"""What would go wrong in a training run, found before it: config against data against model."""

from mmvmlp.engine.config_check.check import ConfigCheck
from mmvmlp.engine.config_check.finding import Finding

__all__ = ['ConfigCheck', 'Finding']
