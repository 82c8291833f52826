"""Small data sets, one for each layout, generated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmvmlp.datasets.digit_scenes import make_digit_scenes

TRAIN, VAL = 12, 11


@pytest.fixture(scope='session')
def coco_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes wider than high."""
    folder = tmp_path_factory.mktemp('coco') / 'digits'
    return make_digit_scenes(folder, 'coco', TRAIN, VAL, (96, 144), progress=False)


@pytest.fixture(scope='session')
def ade_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scenes as in `coco_folder`."""
    folder = tmp_path_factory.mktemp('ade') / 'digits'
    return make_digit_scenes(folder, 'ade', TRAIN, VAL, (96, 144), progress=False)


@pytest.fixture(scope='session')
def imagenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the default size."""
    folder = tmp_path_factory.mktemp('imagenet') / 'digits'
    return make_digit_scenes(folder, 'imagenet', TRAIN, VAL, progress=False)
