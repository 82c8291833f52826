"""Find problems of a training run before it starts: config against data and model."""

from mmvmlp.config.check.check import ConfigCheck
from mmvmlp.config.check.finding import Finding

__all__ = ['ConfigCheck', 'Finding']
