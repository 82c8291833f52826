"""Necks that build a feature pyramid from a single-stride backbone."""

from mmvmlp.necks.simple_pyramid import SimplePyramid

__all__ = ['SimplePyramid']
