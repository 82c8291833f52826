"""Digit scenes: a small generated data set of handwritten digits on photographs."""

from mmvmlp.datasets.digit_scenes.generate import make_digit_scenes
from mmvmlp.datasets.digit_scenes.layouts import SceneOptions
from mmvmlp.datasets.digit_scenes.scenes import Digit, Scene, compose_clutter, compose_scene

__all__ = [
    'Digit',
    'Scene',
    'SceneOptions',
    'compose_clutter',
    'compose_scene',
    'make_digit_scenes',
]
