"""Rules for the OpenMMLab packages: mmengine, mmcv and the toolboxes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import (
    INSTALL_OPENMMLAB,
    OPENMMLAB,
    REINSTALL,
    TOOLBOXES,
    compile_mmcv,
    pinned,
    release,
    replacing,
)
from mmvmlp.doctor.rules.finding import Finding, reported_elsewhere


def rule_original_and_continued(facts: Facts) -> Iterator[Finding]:
    """Find original and continued distributions of one import name, which overwrite each other."""
    for name, distributions in OPENMMLAB.items():
        there = facts.installed(distributions)
        if len(there) < 2:
            continue
        install = f'{INSTALL_OPENMMLAB} {pinned(distributions[0])}'
        yield Finding(
            facts.probe(name).error is not None,
            f'{" and ".join(there)} unpack into the same folder {name}, one over the other.',
            replacing(there, compile_mmcv({}, force=False) if name == 'mmcv' else install),
        )


def rule_mmengine(facts: Facts) -> Iterator[Finding]:
    """Find an mmengine that is missing, broken, or does not fit torch or setuptools."""
    probe = facts.probe('mmengine')
    distributions = facts.distributions
    install = f'pip install --no-deps {pinned("onedl-mmengine")}'
    there = facts.installed(OPENMMLAB['mmengine'])
    if probe.missing:
        yield Finding(True, 'mmengine is not installed.', install)
    elif probe.error and not reported_elsewhere(facts, 'mmengine'):
        yield Finding(True, f'mmengine does not load: {probe.error}', replacing(there, install))
    original = 'mmengine' in distributions or 'mmengine-lite' in distributions
    if original and len(there) == 1 and release(facts.probe('torch').version)[:2] >= (2, 6):
        yield Finding(
            False,
            f'mmengine {probe.version} cannot read its own checkpoints (--resume, mmvmlp test) '
            'with torch 2.6 and newer, which reads nothing but tensors unless told otherwise.',
            replacing(there, install),
        )
    if original and release(distributions.get('setuptools'))[:1] >= (82,):
        yield Finding(
            True,
            f'mmengine {probe.version} imports pkg_resources when a config inherits from a '
            f'toolbox, and setuptools {distributions["setuptools"]} no longer has it.',
            'pip install "setuptools<82"',
        )


def rule_mmcv(facts: Facts) -> Iterator[Finding]:
    """Find an mmcv that is missing, or whose operators are missing or made for another torch."""
    probe, torch = facts.probe('mmcv'), facts.probe('torch')
    if torch.missing or torch.error:
        return
    again = compile_mmcv(facts.distributions)
    if 'mmcv-lite' in facts.distributions and (probe.error or probe.missing):
        yield Finding(
            True,
            'mmcv-lite has no operators (nms, roi_align), which detectors need.',
            replacing(['mmcv-lite'], compile_mmcv({}, force=False)),
        )
    elif probe.missing:
        yield Finding(
            True, 'mmcv is not installed.', compile_mmcv(facts.distributions, force=False)
        )
    elif probe.error and 'mmcv._ext' in probe.error and 'No module named' in probe.error:
        yield Finding(
            True,
            f'mmcv {probe.version} was built without its operators: torch was not there, or hidden '
            "by pip's isolated build.",
            again,
        )
    elif probe.error and re.search(r'undefined symbol|lib(c10|torch|cudart)\S*\.so', probe.error):
        yield Finding(
            True,
            f'mmcv {probe.version} was compiled for another torch than {torch.version}: '
            f'{probe.error}',
            again,
        )
    elif probe.error and not reported_elsewhere(facts, 'mmcv'):
        yield Finding(True, f'mmcv {probe.version or ""} does not work: {probe.error}', again)
    elif torch.details.get('gpus') and probe.details.get('gpu_error'):
        yield Finding(
            True,
            "torch sees a GPU, but mmcv's operators do not run on it: "
            f'{probe.details["gpu_error"]}. Compile them with the CUDA toolkit '
            f'{torch.details.get("cuda")}, or hide the GPU with: export CUDA_VISIBLE_DEVICES=',
            f'export FORCE_CUDA=1; {again}',
        )


def rule_toolboxes(facts: Facts) -> Iterator[Finding]:
    """Find toolboxes that are missing, broken, or refuse the version of mmcv or mmengine."""
    if all(facts.probe(name).missing for name in TOOLBOXES):
        all_three = pinned(*(OPENMMLAB[name][0] for name in TOOLBOXES))
        yield Finding(
            True,
            'None of mmdet, mmseg and mmpretrain is installed.',
            f'{INSTALL_OPENMMLAB} {all_three}',
        )
        return
    for name in TOOLBOXES:
        probe = facts.probe(name)
        if probe.missing:
            yield Finding(
                False,
                f'{name} is not installed; configs that use it will not run.',
                f'{INSTALL_OPENMMLAB} {pinned(OPENMMLAB[name][0])}',
            )
        elif probe.error and not reported_elsewhere(facts, name):
            yield _broken_toolbox(facts, name, probe.error)


def _broken_toolbox(facts: Facts, name: str, error: str) -> Finding:
    toolbox = f'{name} {facts.probe(name).version}'
    continued = pinned(OPENMMLAB[name][0])
    refused = re.search(
        r'==(\S+) is used but incompatible\. '
        r'Please install (mmcv|mmengine)([^\s,]+(?:, <[^\s,]+)?)',
        error,
    )
    if refused:
        version, package, accepted = refused[1], refused[2], refused[3].rstrip('.')
        if release(version)[:1] >= (2,) or package == 'mmengine':
            advice = 'Its continuation accepts it.'
            there = facts.installed(OPENMMLAB[name]) or [name]
            fix = replacing(there, f'{INSTALL_OPENMMLAB} {continued}')
        else:
            advice = 'That is of the generation before.'
            there = facts.installed(OPENMMLAB['mmcv']) or ['mmcv']
            fix = replacing(there, compile_mmcv({}, force=False))
        return Finding(
            True,
            f'{toolbox} accepts {package}{accepted}, and {version} is installed. {advice}',
            fix,
        )
    if missing := re.search(r"No module named '([\w.]+)'", error):
        package = missing[1].partition('.')[0]
        package = {'imgaug': 'imaug', 'sklearn': 'scikit-learn'}.get(package, package)
        return Finding(
            True,
            f'{toolbox} imports {missing[1]}, which is not installed.',
            f'pip install --no-deps {package}',
        )
    return Finding(
        True,
        f'{toolbox} does not load: {error}',
        f'{REINSTALL} --no-build-isolation {continued}',
    )
