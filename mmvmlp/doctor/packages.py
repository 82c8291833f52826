"""Distributions that the rules know, the versions that fit, and the commands that install them."""

from __future__ import annotations

import re
from collections.abc import Mapping

# The requirement files pin the same; the commands must work without those files.
PINNED = {
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'numpy': '2.2.6',
    'opencv-python-headless': '4.12.0.88',
    'pycocotools': '2.0.11',
    'safetensors': '0.8.0',
    'wrapt': '2.5.2',
    'onedl-mmcv': '2.3.6',
    'onedl-mmengine': '0.10.12',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    'onedl-mmpretrain': '1.3.6',
}
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
OLDEST_TORCH = (2, 10)

# The distributions that install a package of one import name: continued, original and variants.
OPENMMLAB = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-full', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')
OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)

INSTALL_OPENMMLAB = 'pip install --no-deps --no-build-isolation'
REINSTALL = 'pip install --force-reinstall --no-deps'
BUILD_TOOLS = 'pip install ninja packaging psutil wheel "setuptools>=80,<82"'
COMPILE = 'pip install --no-build-isolation --no-cache-dir --no-deps'


def distributions_of(name: str) -> tuple[str, ...]:
    """Return the names of the distributions that install a package.

    Args:
        name: Import name.
    """
    return OPENMMLAB.get(name, OPENCV if name == 'cv2' else (name,))


def release(version: str | None) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``'2.11.0+cu130'`` gives ``(2, 11, 0)``."""
    match = re.match(r'\d+(\.\d+)*', version or '')
    return tuple(int(part) for part in match[0].split('.')) if match else ()


def build(version: str | None) -> str:
    """Return the part of a version that names its build: ``'2.11.0+cu130'`` gives ``'cu130'``."""
    return (version or '').partition('+')[2]


def pinned(*names: str) -> str:
    """Return the pinned versions of distributions as arguments of pip."""
    return ' '.join(f'{name}=={PINNED[name]}' for name in names)


def matching_torch_pair(torch_version: str | None) -> str:
    """Return arguments of pip that name torch and torchvision of one release and one build.

    Args:
        torch_version: The torch to keep; too old a one is replaced by the pinned one.
    """
    numbers = release(torch_version)
    if len(numbers) < 3 or numbers[0] != 2 or numbers[:2] < OLDEST_TORCH:
        numbers = release(PINNED['torch'])
    # '===' leaves out builds of the same version for other devices ('2.11.0+cpu').
    return f'torch==={numbers[0]}.{numbers[1]}.{numbers[2]} torchvision===' + (
        f'0.{numbers[1] + 15}.{numbers[2]}'
    )


def replacing(there: list[str], install: str) -> str:
    """Return a command that removes distributions before it installs another.

    Args:
        there: Distributions to remove; may be empty.
        install: The command that installs.
    """
    return f'pip uninstall -y {" ".join(there)} && {install}' if there else install


def compile_mmcv(distributions: Mapping[str, str], force: bool = True) -> str:
    """Return the command that compiles mmcv for the torch that is installed.

    Args:
        distributions: Versions of the installed distributions; the original mmcv stays what it is.
        force: Whether to replace the version that is installed by the same one.
    """
    name, version = 'onedl-mmcv', PINNED['onedl-mmcv']
    if 'mmcv' in distributions and 'onedl-mmcv' not in distributions:
        name, version = 'mmcv', distributions['mmcv']
    reinstall = '--force-reinstall ' if force else ''
    return f'{BUILD_TOOLS} && {COMPILE} {reinstall}--no-binary {name} {name}=={version}'
