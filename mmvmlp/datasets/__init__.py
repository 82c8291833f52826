"""Digit scenes: a small data set of handwritten digits on photographs, made on the spot."""

from mmvmlp.datasets.generate import make_digit_scenes
from mmvmlp.datasets.layouts import SceneOptions
from mmvmlp.datasets.scenes import Digit, Scene, compose_clutter, compose_scene

__all__ = [
    'Digit',
    'Scene',
    'SceneOptions',
    'compose_clutter',
    'compose_scene',
    'make_digit_scenes',
]
