"""What would go wrong in a training run, found before it: config against data against model."""

from mmvmlp.config.check.check import ConfigCheck
from mmvmlp.config.check.finding import Finding

__all__ = ['ConfigCheck', 'Finding']
