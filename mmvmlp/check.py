"""Whether training can work here, and the command that mends what prevents it.

``python -m mmvmlp.check`` prints the versions of everything a training run loads, tries each of
them (compiled operators are called, not only imported), and exits with status 1 when training
cannot work. What is tried runs in a child process: a library that crashes takes the child with
it, not the report.

The file has three parts: *probes* gather facts, *rules* turn facts into findings, and the rest
prints. Rules see nothing but `Facts`, so each known bad combination can be tested without it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

# What the requirement files pin; the commands below have to work without those files.
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

# The distributions that install a package of one import name: (continued, original and variants).
OPENMMLAB = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-full', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')

BUILD_TOOLS = 'pip install ninja packaging psutil wheel "setuptools>=80,<82"'
REINSTALL = 'pip install --force-reinstall --no-deps'
COMPILE = 'pip install --no-build-isolation --no-cache-dir --no-deps'


# --------------------------------------------------------------------------------------------------
# Facts
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """What happened when one package was tried.

    Attributes:
        version: The package's version, if it got as far as telling.
        error: Type and message of what went wrong; None where everything works.
        missing: Whether the package is not installed at all.
        details: What else the probe found out.
    """

    version: str | None = None
    error: str | None = None
    missing: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Everything the rules look at.

    Attributes:
        python: Version of the running Python.
        distributions: Versions of the installed distributions, by normalised name.
        probes: What happened when each package was tried, by import name.
        nvidia_driver: Whether an NVIDIA driver is loaded, whatever torch makes of it.
    """

    python: tuple[int, int, int]
    distributions: Mapping[str, str]
    probes: Mapping[str, Probe]
    nvidia_driver: bool = False

    def probe(self, name: str) -> Probe:
        """What happened when a package was tried; a package never tried counts as missing.

        Args:
            name: Import name.
        """
        return self.probes.get(name, Probe(missing=True))

    def installed(self, names: Iterable[str]) -> list[str]:
        """Those of some distributions that are installed.

        Args:
            names: Normalised distribution names.
        """
        return [name for name in names if name in self.distributions]


@dataclass(frozen=True)
class Finding:
    """Something wrong, and what mends it.

    Attributes:
        blocks: Whether training cannot work because of it.
        problem: What is wrong, in a sentence.
        command: What to run.
    """

    blocks: bool
    problem: str
    command: str


# --------------------------------------------------------------------------------------------------
# Probes: each imports what it needs, tries it, and returns version and details
# --------------------------------------------------------------------------------------------------


def probe_numpy() -> Probe:
    """Import numpy."""
    import numpy

    return Probe(version=numpy.__version__)


def probe_torch() -> Probe:
    """Multiply two matrices, and look for GPUs."""
    import torch

    torch.ones(2, 2) @ torch.ones(2, 2)
    gpus: list[str] = []
    gpu_error = None
    try:
        if torch.cuda.is_available():
            gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            torch.ones(2, 2, device='cuda').sum().item()
    except RuntimeError as error:
        gpu_error = _describe(error)
    details = {'cuda': torch.version.cuda, 'gpus': gpus, 'gpu_error': gpu_error}
    return Probe(version=torch.__version__, details=details)


def probe_torchvision() -> Probe:
    """Call torchvision's compiled non-maximum suppression."""
    # Its version file loads without its operators, so that a report can name it either way.
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
    if kept.tolist() != [1]:
        raise RuntimeError(f'torchvision.ops.nms keeps {kept.tolist()} where [1] is right')
    return Probe(version=torchvision.__version__)


def probe_cv2() -> Probe:
    """Encode and decode a picture with OpenCV."""
    import cv2
    import numpy

    coded = cv2.imencode('.png', numpy.zeros((4, 4, 3), numpy.uint8))[1]
    image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if image is None or image.shape != (4, 4, 3):
        raise RuntimeError('cv2.imdecode does not return the image that was encoded')
    return Probe(version=cv2.__version__)


def probe_pycocotools() -> Probe:
    """Encode a mask and measure its area with pycocotools' compiled code."""
    import numpy
    from pycocotools import cocoeval, mask  # noqa: F401

    area = int(mask.area(mask.encode(numpy.asfortranarray(numpy.ones((3, 3), numpy.uint8)))))
    if area != 9:
        raise RuntimeError(f'pycocotools.mask.area gives {area} where 9 is right')
    return Probe(version=metadata.version('pycocotools'))


def probe_mmengine() -> Probe:
    """Import mmengine's runner, which loads most of it."""
    import mmengine
    import mmengine.runner  # noqa: F401

    return Probe(version=mmengine.__version__)


def probe_mmcv() -> Probe:
    """Call mmcv's compiled operators, on the GPU too where torch sees one."""
    import mmcv
    import torch
    from mmcv.ops import nms, roi_align

    def call(device: str) -> None:
        boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]], device=device)
        kept = nms(boxes, torch.tensor([0.5, 0.9], device=device), 0.5)[1]
        if kept.tolist() != [1]:
            raise RuntimeError(f'mmcv.ops.nms keeps {kept.tolist()} where [1] is right')
        image = torch.ones(1, 1, 8, 8, device=device)
        region = torch.tensor([[0.0, 1, 1, 5, 5]], device=device)
        mean = roi_align(image, region, (2, 2), 1.0, 0, 'avg', True).mean().item()
        if abs(mean - 1) > 1e-5:
            raise RuntimeError(f'mmcv.ops.roi_align gives {mean} where 1 is right')

    call('cpu')
    gpu_error = None
    if torch.cuda.is_available():
        try:
            call('cuda')
        except (RuntimeError, NotImplementedError) as error:
            gpu_error = _describe(error)
    return Probe(version=mmcv.__version__, details={'gpu_error': gpu_error})


def probe_mmdet() -> Probe:
    """Import mmdet with all its models, data sets and metrics."""
    import mmdet
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    return Probe(version=mmdet.__version__)


def probe_mmseg() -> Probe:
    """Import mmseg with all its models, data sets and metrics."""
    import mmseg
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    return Probe(version=mmseg.__version__)


def probe_mmpretrain() -> Probe:
    """Import mmpretrain with all its models, data sets and metrics."""
    import mmpretrain
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    return Probe(version=mmpretrain.__version__)


PROBES: Mapping[str, Callable[[], Probe]] = {
    'numpy': probe_numpy,
    'torch': probe_torch,
    'torchvision': probe_torchvision,
    'cv2': probe_cv2,
    'pycocotools': probe_pycocotools,
    'mmengine': probe_mmengine,
    'mmcv': probe_mmcv,
    'mmdet': probe_mmdet,
    'mmseg': probe_mmseg,
    'mmpretrain': probe_mmpretrain,
}


def _describe(error: BaseException) -> str:
    """Type and message of an exception and of what it was raised from, on one line."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 3:
        parts.append(' '.join(f'{type(cause).__name__}: {cause}'.split()))
        cause = cause.__cause__
    return ' <- '.join(parts)


def run_probe(name: str) -> Probe:
    """Try one package, in this process.

    Args:
        name: Import name.
    """
    try:
        return PROBES[name]()
    except ModuleNotFoundError as error:
        if error.name == name:
            return Probe(missing=True, error=_describe(error))
        return Probe(version=_version_without_import(name), error=_describe(error))
    except Exception as error:
        return Probe(version=_version_without_import(name), error=_describe(error))


def _version_without_import(name: str) -> str | None:
    """The version of a package that could not be imported, from its version file if it has one."""
    distributions = OPENMMLAB.get(name, OPENCV if name == 'cv2' else (name,))
    for package in dict.fromkeys((name, *distributions)):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def probe_all(names: Sequence[str] = tuple(PROBES), timeout: float = 300) -> dict[str, Probe]:
    """Try packages in a child process, and in another one after a crash.

    Args:
        names: Import names.
        timeout: Seconds for one child.

    Returns:
        What happened, by import name.
    """
    results: dict[str, Probe] = {}
    while remaining := [name for name in names if name not in results]:
        command = [sys.executable, os.path.abspath(__file__), '--probe', *remaining]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
            output, noise, ending = child.stdout, child.stderr, _ending(child.returncode)
        except subprocess.TimeoutExpired as late:
            output, noise = _text(late.stdout), _text(late.stderr)
            ending = f'did not finish within {timeout:g} s'
        current = remaining[0]
        for line in output.splitlines():
            event = json.loads(line)
            current = event['name']
            if 'probe' in event:
                results[current] = Probe(**event['probe'])
        if current not in results:
            last = noise.strip().splitlines()[-1:]
            results[current] = Probe(
                version=_version_without_import(current), error=': '.join([ending, *last])
            )
    return results


def _ending(code: int) -> str:
    return f'killed by signal {-code}' if code < 0 else f'exit status {code}'


def _text(output: bytes | str | None) -> str:
    return output.decode(errors='replace') if isinstance(output, bytes) else output or ''


def _probe_in_child(names: Sequence[str]) -> None:
    """Try packages one after the other, reporting each as it begins and ends."""
    # Libraries print while they are imported: only reports may reach the real standard output.
    reports = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in names:
        print(json.dumps({'name': name}), file=reports, flush=True)
        result = asdict(run_probe(name))
        print(json.dumps({'name': name, 'probe': result}), file=reports, flush=True)


def installed_distributions() -> dict[str, str]:
    """Versions of the installed distributions, by normalised name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:
            found.setdefault(re.sub(r'[-_.]+', '-', name).lower(), distribution.version)
    return found


def gather() -> Facts:
    """Look at this Python and everything a training run loads."""
    return Facts(
        python=sys.version_info[:3],
        distributions=installed_distributions(),
        probes=probe_all(),
        nvidia_driver=Path('/proc/driver/nvidia/version').exists(),
    )


# --------------------------------------------------------------------------------------------------
# Rules: each yields a finding for every bad combination it knows
# --------------------------------------------------------------------------------------------------


def _release(version: str | None) -> tuple[int, ...]:
    """The leading numbers of a version: ``'2.11.0+cu130'`` gives ``(2, 11, 0)``."""
    match = re.match(r'\d+(\.\d+)*', version or '')
    return tuple(int(part) for part in match[0].split('.')) if match else ()


def _build(version: str | None) -> str:
    """The part of a version that names its build: ``'2.11.0+cu130'`` gives ``'cu130'``."""
    return (version or '').partition('+')[2]


def _pinned(*names: str) -> str:
    return ' '.join(f'{name}=={PINNED[name]}' for name in names)


def _matching_torch_pair(torch_version: str | None) -> str:
    """Arguments for pip that name torch and torchvision of one release and one build."""
    release = _release(torch_version)
    if len(release) < 3 or release[0] != 2 or release[:2] < OLDEST_TORCH:
        release = _release(PINNED['torch'])
    # '===' leaves out builds of the same version for other devices ('2.11.0+cpu').
    return f'torch==={release[0]}.{release[1]}.{release[2]} torchvision===' + (
        f'0.{release[1] + 15}.{release[2]}'
    )


def _compile_mmcv(facts: Facts, force: bool = True) -> str:
    """The command that compiles mmcv for the torch that is there."""
    original = next((name for name in ('mmcv', 'mmcv-full') if name in facts.distributions), None)
    if original == 'mmcv' and 'onedl-mmcv' not in facts.distributions:
        package = f'mmcv=={facts.distributions["mmcv"]}'
    else:
        package = _pinned('onedl-mmcv')
    name = package.partition('==')[0]
    reinstall = '--force-reinstall ' if force else ''
    return f'{BUILD_TOOLS} && {COMPILE} {reinstall}--no-binary {name} {package}'


def rule_python(facts: Facts) -> Iterator[Finding]:
    """Python that the stack has no packages for."""
    if not OLDEST_PYTHON <= facts.python[:2] <= NEWEST_PYTHON:
        version = '.'.join(map(str, facts.python))
        yield Finding(
            blocks=True,
            problem=f'Python {version} is not supported; 3.10, 3.11 and 3.12 are.',
            command='make env PYTHON=python3.12',
        )


def rule_torch(facts: Facts) -> Iterator[Finding]:
    """Torch that is missing, too old or broken."""
    probe = facts.probe('torch')
    both = f'pip install {_matching_torch_pair(PINNED["torch"])}'
    if probe.missing:
        yield Finding(True, 'torch is not installed.', both)
    elif probe.error:
        yield Finding(
            True,
            f'torch {probe.version or ""} does not load: {probe.error}',
            f'pip uninstall -y torch torchvision && {both}',
        )
    elif _release(probe.version)[:2] < OLDEST_TORCH:
        yield Finding(
            True,
            f'torch {probe.version} is too old: crafted checkpoints can run code in it or corrupt '
            'its memory, also with weights_only=True (CVE-2025-32434, CVE-2026-24747). '
            f'{".".join(map(str, OLDEST_TORCH))} is the oldest supported. After the change mmcv '
            'has to be compiled again: check once more.',
            both,
        )


def rule_torchvision(facts: Facts) -> Iterator[Finding]:
    """Torchvision that is missing, or not the one that was compiled for this torch."""
    torch, vision = facts.probe('torch'), facts.probe('torchvision')
    if torch.missing or torch.error:
        return
    command = f'pip install {_matching_torch_pair(torch.version)}'
    if vision.missing:
        yield Finding(True, 'torchvision is not installed.', command)
        return
    builds = _build(torch.version), _build(vision.version)
    minor = _release(torch.version)[1:2], _release(vision.version)[1:2]
    if all(builds) and builds[0] != builds[1]:
        reason = 'They are different builds: both have to come from one index.'
    elif all(minor) and _release(torch.version)[0] == 2 and minor[0][0] + 15 != minor[1][0]:
        reason = f'torch 2.{minor[0][0]} goes with torchvision 0.{minor[0][0] + 15}.'
    elif vision.error and 'operator torchvision::' in vision.error:
        reason = 'They are different builds: both have to come from one index.'
    elif vision.error:
        reason = 'torchvision does not work.'
    else:
        return
    said = f' ({vision.error})' if vision.error else ''
    yield Finding(
        blocks=vision.error is not None,
        problem=f'torch {torch.version} beside torchvision {vision.version}: {reason}{said}',
        command=command,
    )


def rule_numpy(facts: Facts) -> Iterator[Finding]:
    """Numpy that is missing or broken, and packages compiled for another major version of it."""
    probe = facts.probe('numpy')
    if probe.missing:
        yield Finding(True, 'numpy is not installed.', f'pip install {_pinned("numpy")}')
    elif probe.error:
        yield Finding(
            True,
            f'numpy does not load: {probe.error}',
            f'pip install --force-reinstall {_pinned("numpy")}',
        )
    for name, distribution, blocks in (
        ('cv2', 'opencv-python-headless', True),
        ('pycocotools', 'pycocotools', not facts.probe('mmdet').missing),
    ):
        if _compiled_for_other_numpy(facts.probe(name).error):
            command = f'{REINSTALL} --no-cache-dir {_pinned(distribution)}'
            others = [d for d in facts.installed(OPENCV) if d != distribution]
            if name == 'cv2' and others:
                command = f'pip uninstall -y {" ".join(others)} && {command}'
            yield Finding(
                blocks,
                f'{name} was compiled for another major version of numpy than the installed '
                f'{probe.version}: {facts.probe(name).error}',
                command,
            )
    for name in ('mmcv', *TOOLBOXES):
        if _compiled_for_other_numpy(facts.probe(name).error) and not _follows(facts, name):
            yield Finding(
                True,
                f'{name} loads something that was compiled for another major version of numpy '
                f'than the installed {probe.version}: {facts.probe(name).error}',
                "pip install 'numpy<2'"
                if _release(probe.version)[:1] >= (2,)
                else f'pip install {_pinned("numpy")}',
            )


def _compiled_for_other_numpy(error: str | None) -> bool:
    signs = (
        'compiled using NumPy 1',
        'numpy.dtype size changed',
        '_ARRAY_API not found',
        'numpy.core.multiarray failed to import',
        'compiled against ABI version',
    )
    return error is not None and any(sign in error for sign in signs)


def rule_opencv(facts: Facts) -> Iterator[Finding]:
    """OpenCV that is missing, there twice, or lacks libGL."""
    probe = facts.probe('cv2')
    there = facts.installed(OPENCV)
    headless = f'pip install --no-deps {_pinned("opencv-python-headless")}'
    replace = f'pip uninstall -y {" ".join(there)} && {headless}' if there else headless
    if probe.error and re.search(r'lib(GL|EGL|gthread|glib|SM|X\w+)\S*\.so', probe.error):
        yield Finding(
            True,
            'OpenCV needs a system library of graphical desktops, which slim images lack: '
            f'{probe.error}. The headless build does without.',
            replace,
        )
    elif len(there) > 1:
        yield Finding(
            probe.error is not None,
            f'{" and ".join(there)} unpack into the same folder, one over the other; removing '
            'either breaks the rest.',
            replace,
        )
    elif probe.missing:
        yield Finding(True, 'OpenCV (cv2) is not installed.', replace)
    elif probe.error and not _compiled_for_other_numpy(probe.error):
        yield Finding(True, f'OpenCV (cv2) does not work: {probe.error}', replace)


def rule_pycocotools(facts: Facts) -> Iterator[Finding]:
    """Pycocotools that mmdet and the digit scenes cannot work with."""
    probe = facts.probe('pycocotools')
    blocks = not facts.probe('mmdet').missing
    if probe.missing:
        yield Finding(
            blocks,
            'pycocotools is not installed; mmdet does not load without it, and no digit scenes can '
            'be made.',
            f'pip install {_pinned("pycocotools")}',
        )
    elif probe.error and not _compiled_for_other_numpy(probe.error):
        yield Finding(
            blocks,
            f'pycocotools does not work: {probe.error}',
            f'{REINSTALL} --no-cache-dir {_pinned("pycocotools")}',
        )


def rule_own_dependencies(facts: Facts) -> Iterator[Finding]:
    """The small packages that mmvmlp itself imports."""
    for name, blocks, purpose in (
        ('safetensors', True, 'checkpoints are read with it'),
        ('wrapt', False, 'without it _base_ = "mmvmlp::..." and mmpretrain.list_models fail'),
    ):
        if not facts.installed((name,)):
            yield Finding(
                blocks, f'{name} is not installed; {purpose}.', f'pip install {_pinned(name)}'
            )


def rule_original_and_continued(facts: Facts) -> Iterator[Finding]:
    """Original and continued distributions of one import name, which overwrite each other."""
    for name, distributions in OPENMMLAB.items():
        there = facts.installed(distributions)
        if len(there) < 2:
            continue
        continued = distributions[0]
        install = f'pip install --no-deps --no-build-isolation {_pinned(continued)}'
        if name == 'mmcv':
            install = f'{BUILD_TOOLS} && {COMPILE} --no-binary {continued} {_pinned(continued)}'
        yield Finding(
            facts.probe(name).error is not None,
            f'{" and ".join(there)} unpack into the same folder {name}, one over the other.',
            f'pip uninstall -y {" ".join(there)} && {install}',
        )


def rule_mmengine(facts: Facts) -> Iterator[Finding]:
    """Mmengine that is missing, broken, or too old for this torch."""
    probe = facts.probe('mmengine')
    distributions = facts.distributions
    install = f'pip install --no-deps {_pinned("onedl-mmengine")}'
    there = facts.installed(OPENMMLAB['mmengine'])
    replace = f'pip uninstall -y {" ".join(there)} && {install}' if there else install
    if probe.missing:
        yield Finding(True, 'mmengine is not installed.', install)
    elif probe.error and not _follows(facts, 'mmengine'):
        yield Finding(True, f'mmengine does not load: {probe.error}', replace)
    original = 'mmengine' in distributions or 'mmengine-lite' in distributions
    if original and len(there) == 1 and _release(facts.probe('torch').version)[:2] >= (2, 6):
        yield Finding(
            False,
            f'mmengine {probe.version} cannot read its own checkpoints (--resume, tools/test.py) '
            'with torch 2.6 and newer, which reads nothing but tensors unless told otherwise.',
            replace,
        )
    if original and _release(distributions.get('setuptools'))[:1] >= (82,):
        yield Finding(
            True,
            f'mmengine {probe.version} imports pkg_resources when a config inherits from a '
            f'toolbox, and setuptools {distributions["setuptools"]} no longer has it.',
            'pip install "setuptools<82"',
        )


def rule_mmcv(facts: Facts) -> Iterator[Finding]:
    """Mmcv that is missing, or whose operators are missing or made for another torch."""
    probe, torch = facts.probe('mmcv'), facts.probe('torch')
    if torch.missing or torch.error:
        return
    if 'mmcv-lite' in facts.distributions and (probe.error or probe.missing):
        install = f'{COMPILE} --no-binary onedl-mmcv {_pinned("onedl-mmcv")}'
        yield Finding(
            True,
            'mmcv-lite has no operators (nms, roi_align), which detectors need.',
            f'pip uninstall -y mmcv-lite && {BUILD_TOOLS} && {install}',
        )
    elif probe.missing:
        yield Finding(True, 'mmcv is not installed.', _compile_mmcv(facts, force=False))
    elif probe.error and 'mmcv._ext' in probe.error and 'No module named' in probe.error:
        yield Finding(
            True,
            f'mmcv {probe.version} was built without its operators: torch was not there, or hidden '
            "by pip's isolated build.",
            _compile_mmcv(facts),
        )
    elif probe.error and re.search(r'undefined symbol|lib(c10|torch|cudart)\S*\.so', probe.error):
        yield Finding(
            True,
            f'mmcv {probe.version} was compiled for another torch than {torch.version}: '
            f'{probe.error}',
            _compile_mmcv(facts),
        )
    elif probe.error and not _compiled_for_other_numpy(probe.error) and not _follows(facts, 'mmcv'):
        yield Finding(
            True,
            f'mmcv {probe.version or ""} does not work: {probe.error}',
            _compile_mmcv(facts),
        )
    elif torch.details.get('gpus') and probe.details.get('gpu_error'):
        yield Finding(
            True,
            "torch sees a GPU, but mmcv's operators do not run on it: "
            f'{probe.details["gpu_error"]}. Compile them with the CUDA toolkit '
            f'{torch.details.get("cuda")}, or hide the GPU with: export CUDA_VISIBLE_DEVICES=',
            f'export FORCE_CUDA=1; {_compile_mmcv(facts)}',
        )


def rule_toolboxes(facts: Facts) -> Iterator[Finding]:
    """Toolboxes that are missing, broken, or refuse the version of mmcv or mmengine."""
    if all(facts.probe(name).missing for name in TOOLBOXES):
        all_three = _pinned(*(OPENMMLAB[name][0] for name in TOOLBOXES))
        yield Finding(
            True,
            'None of mmdet, mmseg and mmpretrain is installed.',
            f'pip install --no-deps --no-build-isolation {all_three}',
        )
        return
    for name in TOOLBOXES:
        probe = facts.probe(name)
        continued = OPENMMLAB[name][0]
        install = f'pip install --no-deps --no-build-isolation {_pinned(continued)}'
        if probe.missing:
            yield Finding(
                False, f'{name} is not installed; configs that use it will not run.', install
            )
            continue
        if not probe.error or _follows(facts, name):
            continue
        refused = re.search(
            r'==(\S+) is used but incompatible\. '
            r'Please install (mmcv|mmengine)([^\s,]+(?:, <[^\s,]+)?)',
            probe.error,
        )
        if refused:
            version, package, accepted = refused[1], refused[2], refused[3].rstrip('.')
            if _release(version)[:1] >= (2,) or package == 'mmengine':
                there = facts.installed(OPENMMLAB[name])
                advice = 'Its continuation accepts it.'
                command = f'pip uninstall -y {" ".join(there) or name} && {install}'
            else:
                advice = 'That is of the generation before.'
                there = facts.installed(OPENMMLAB['mmcv'])
                command = f'pip uninstall -y {" ".join(there) or "mmcv"} && '
                command += f'{BUILD_TOOLS} && {COMPILE} {_pinned("onedl-mmcv")}'
            yield Finding(
                True,
                f'{name} {probe.version} accepts {package}{accepted}, and {version} is installed. '
                f'{advice}',
                command,
            )
        elif missing := re.search(r"No module named '([\w.]+)'", probe.error):
            package = missing[1].partition('.')[0]
            package = {'imgaug': 'imaug', 'sklearn': 'scikit-learn'}.get(package, package)
            yield Finding(
                True,
                f'{name} {probe.version} imports {missing[1]}, which is not installed.',
                f'pip install --no-deps {package}',
            )
        elif not _compiled_for_other_numpy(probe.error):
            yield Finding(
                True,
                f'{name} {probe.version} does not load: {probe.error}',
                f'{REINSTALL} --no-build-isolation {_pinned(continued)}',
            )


def _follows(facts: Facts, name: str) -> bool:
    """Whether a package's failure has its own finding: two in one folder, or one it imports."""
    if len(facts.installed(OPENMMLAB.get(name, ()))) > 1:
        return True
    error = facts.probe(name).error
    before = list(PROBES)[: list(PROBES).index(name)]
    for other in before:
        probe = facts.probe(other)
        if probe.missing and f"No module named '{other}'" in (error or ''):
            return True
        if probe.error and not probe.missing and probe.error.split(' <- ')[-1] in (error or ''):
            return True
    return False


def rule_gpu(facts: Facts) -> Iterator[Finding]:
    """A GPU that the machine has and torch does not use."""
    probe = facts.probe('torch')
    if probe.missing or probe.error:
        return
    if gpu_error := probe.details.get('gpu_error'):
        yield Finding(
            True,
            f'torch sees a GPU and cannot compute on it: {gpu_error}. Either this torch is not '
            'built for a GPU of that age, or another process holds it.',
            'nvidia-smi; export CUDA_VISIBLE_DEVICES=   # to train on the CPU',
        )
    elif facts.nvidia_driver and not probe.details.get('gpus'):
        if os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
            return
        if probe.details.get('cuda'):
            yield Finding(
                False,
                f'There is an NVIDIA driver, but torch, which is built for CUDA '
                f'{probe.details["cuda"]}, sees no GPU: the driver may be too old for it, or the '
                'container may have been started without the GPU.',
                "nvidia-smi   # 'CUDA Version' must not be below torch's",
            )
        else:
            yield Finding(
                False,
                f'There is an NVIDIA driver, but torch {probe.version} is built for the CPU only. '
                'After the change mmcv has to be compiled again.',
                f'pip install {_matching_torch_pair(probe.version)} && {_compile_mmcv(facts)}',
            )


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    rule_python,
    rule_torch,
    rule_torchvision,
    rule_numpy,
    rule_opencv,
    rule_pycocotools,
    rule_own_dependencies,
    rule_original_and_continued,
    rule_mmengine,
    rule_mmcv,
    rule_toolboxes,
    rule_gpu,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Everything that is wrong, what blocks training first.

    Args:
        facts: What is installed, and what happened when it was tried.
    """
    findings = [finding for rule in RULES for finding in rule(facts)]
    return sorted(findings, key=lambda finding: not finding.blocks)


# --------------------------------------------------------------------------------------------------
# The report
# --------------------------------------------------------------------------------------------------

_TRIED = {
    'torchvision': 'operators run',
    'cv2': 'reads and writes pictures',
    'pycocotools': 'runs',
    'mmcv': 'operators run',
    'mmdet': 'loads with all its models',
    'mmseg': 'loads with all its models',
    'mmpretrain': 'loads with all its models',
}


def report(facts: Facts, findings: Sequence[Finding]) -> str:
    """The facts as a table, then each finding with its command, then the verdict.

    Args:
        facts: What is installed, and what happened when it was tried.
        findings: What `diagnose` made of it.
    """
    gpus = facts.probe('torch').details.get('gpus') or []
    rows = [('Python', '.'.join(map(str, facts.python)), sys.executable)]
    rows.append(('mmvmlp', facts.distributions.get('mmvmlp', 'not installed'), ''))
    for name in PROBES:
        probe = facts.probe(name)
        if probe.missing:
            state = 'missing'
        elif probe.error:
            state = 'does not work, see below'
        elif name == 'torch':
            cuda = probe.details.get('cuda')
            built = f'built for CUDA {cuda}' if cuda else 'built for the CPU'
            state = f'runs; {built}; GPU: {", ".join(gpus) or "none seen"}'
        elif name == 'mmcv' and gpus and not probe.details.get('gpu_error'):
            state = 'operators run, on the GPU too'
        else:
            state = _TRIED.get(name, 'loads')
        rows.append((name, probe.version or '-', state))
    width = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f'{a:<{width[0]}}  {b:<{width[1]}}  {c}'.rstrip() for a, b, c in rows]
    for finding in findings:
        kind = 'problem' if finding.blocks else 'warning'
        lines += ['', f'{kind}: {finding.problem}', f'    mend: {finding.command}']
    problems = sum(finding.blocks for finding in findings)
    if problems:
        verdict = f'Training cannot work: {problems} problem{"s" if problems > 1 else ""}.'
    else:
        verdict = f'Ready to train on {"the GPU" if gpus else "the CPU"}.'
    return '\n'.join([*lines, '', verdict])


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print, and return the exit status.

    Args:
        arguments: Command line; that of the process if None.
    """
    parser = argparse.ArgumentParser(
        prog='python -m mmvmlp.check',
        description='Print versions, try what training needs, and name what mends the rest.',
    )
    parser.add_argument('--probe', nargs='+', choices=list(PROBES), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.probe:
        _probe_in_child(options.probe)
        return 0
    print('Checking what training needs (about 10 s) …', flush=True)
    facts = gather()
    findings = diagnose(facts)
    print(report(facts, findings))
    return int(any(finding.blocks for finding in findings))


if __name__ == '__main__':
    if __package__ in (None, ''):
        # Started by path: the package's folder would hide top-level modules such as 'datasets'.
        sys.path.pop(0)
    sys.exit(main())
