"""Rules for the libraries below the toolboxes: numpy, OpenCV, pycocotools, safetensors, wrapt."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import OPENCV, REINSTALL, TOOLBOXES, pinned, release, replacing
from mmvmlp.doctor.rules.finding import (
    Finding,
    compiled_for_other_numpy,
    is_consequence,
    reported_elsewhere,
)


def rule_numpy(facts: Facts) -> Iterator[Finding]:
    """Find a numpy that is missing or broken, and packages compiled for another major version."""
    probe = facts.probe('numpy')
    if probe.missing:
        yield Finding(True, 'numpy is not installed.', f'pip install {pinned("numpy")}')
        return
    if probe.error:
        yield Finding(
            True,
            f'numpy does not load: {probe.error}',
            f'pip install --force-reinstall {pinned("numpy")}',
        )
        return
    for name, distribution, blocks in (
        ('cv2', 'opencv-python-headless', True),
        ('pycocotools', 'pycocotools', not facts.probe('mmdet').missing),
    ):
        if compiled_for_other_numpy(facts.probe(name).error):
            others = [each for each in facts.installed(OPENCV) if each != distribution]
            yield Finding(
                blocks,
                f'{name} was compiled for another major version of numpy than the installed '
                f'{probe.version}: {facts.probe(name).error}',
                replacing(
                    others if name == 'cv2' else [],
                    f'{REINSTALL} --no-cache-dir {pinned(distribution)}',
                ),
            )
    for name in ('mmcv', *TOOLBOXES):
        error = facts.probe(name).error
        if compiled_for_other_numpy(error) and not is_consequence(facts, name):
            yield Finding(
                True,
                f'{name} loads something that was compiled for another major version of numpy '
                f'than the installed {probe.version}: {error}',
                "pip install 'numpy<2'"
                if release(probe.version)[:1] >= (2,)
                else f'pip install {pinned("numpy")}',
            )


def rule_opencv(facts: Facts) -> Iterator[Finding]:
    """Find an OpenCV that is missing, there twice, or lacks libGL."""
    probe = facts.probe('cv2')
    there = facts.installed(OPENCV)
    fix = replacing(there, f'pip install --no-deps {pinned("opencv-python-headless")}')
    if probe.error and re.search(r'lib(GL|EGL|gthread|glib|SM|X\w+)\S*\.so', probe.error):
        yield Finding(
            True,
            'OpenCV needs a system library of graphical desktops, which slim images lack: '
            f'{probe.error}. The headless build does without.',
            fix,
        )
    elif len(there) > 1:
        yield Finding(
            probe.error is not None,
            f'{" and ".join(there)} unpack into the same folder, one over the other; removing '
            'either breaks the rest.',
            fix,
        )
    elif probe.missing:
        yield Finding(True, 'OpenCV (cv2) is not installed.', fix)
    elif probe.error and not reported_elsewhere(facts, 'cv2'):
        yield Finding(True, f'OpenCV (cv2) does not work: {probe.error}', fix)


def rule_pycocotools(facts: Facts) -> Iterator[Finding]:
    """Find a pycocotools that mmdet and the digit scenes cannot work with."""
    probe = facts.probe('pycocotools')
    blocks = not facts.probe('mmdet').missing
    if probe.missing:
        yield Finding(
            blocks,
            'pycocotools is not installed; mmdet does not load without it, and no digit scenes can '
            'be made.',
            f'pip install {pinned("pycocotools")}',
        )
    elif probe.error and not reported_elsewhere(facts, 'pycocotools'):
        yield Finding(
            blocks,
            f'pycocotools does not work: {probe.error}',
            f'{REINSTALL} --no-cache-dir {pinned("pycocotools")}',
        )


def rule_own_dependencies(facts: Facts) -> Iterator[Finding]:
    """Find missing or broken packages that mmvmlp itself imports."""
    for name, purpose in (
        ('safetensors', 'checkpoints are read with it'),
        ('wrapt', 'without it `mmvmlp train` and `_base_ = "mmvmlp::..."` fail'),
    ):
        probe = facts.probe(name)
        if probe.missing:
            yield Finding(
                True, f'{name} is not installed; {purpose}.', f'pip install {pinned(name)}'
            )
        elif probe.error and not reported_elsewhere(facts, name):
            yield Finding(
                True,
                f'{name} does not work; {purpose}: {probe.error}',
                f'{REINSTALL} {pinned(name)}',
            )
