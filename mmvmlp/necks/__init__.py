"""Necks: what a backbone of one stride needs to become a pyramid."""

from mmvmlp.necks.simple_pyramid import SimplePyramid

__all__ = ['SimplePyramid']
