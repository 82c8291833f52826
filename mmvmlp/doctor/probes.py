"""Tests of single packages: each imports a package, calls it and returns its version.

Started by path, as a child process of `mmvmlp.doctor.facts`: a library that crashes takes the
child with it, not the report. So only the standard library is imported before a package is tried,
and nothing of mmvmlp.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Probe:
    """Result of trying one package.

    Attributes:
        version: The package's version, if it could be determined.
        error: Type and message of the exception, or the way the process ended; None where the
            package works.
        missing: Whether the package is not installed at all.
        details: Other findings, such as the names of the GPUs.
    """

    version: str | None = None
    error: str | None = None
    missing: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


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
        gpu_error = describe(error)
    details = {'cuda': torch.version.cuda, 'gpus': gpus, 'gpu_error': gpu_error}
    return Probe(version=torch.__version__, details=details)


def probe_torchvision() -> Probe:
    """Call torchvision's compiled non-maximum suppression."""
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
    if kept.tolist() != [1]:
        raise RuntimeError(f'torchvision.ops.nms keeps {kept.tolist()} where [1] is right')
    return Probe(version=torchvision.__version__)


def probe_cv2() -> Probe:
    """Encode and decode an image with OpenCV."""
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


def probe_safetensors() -> Probe:
    """Write and read an array with safetensors' compiled code."""
    import numpy
    from safetensors.numpy import load, save

    read = load(save({'array': numpy.ones(2)}))['array']
    if read.tolist() != [1, 1]:
        raise RuntimeError(f'safetensors reads {read.tolist()} where [1, 1] was written')
    return Probe(version=metadata.version('safetensors'))


def probe_wrapt() -> Probe:
    """Let wrapt call a hook for a module that is imported already."""
    import wrapt

    called: list[Any] = []
    wrapt.register_post_import_hook(called.append, 'json')
    if called != [json]:
        raise RuntimeError('wrapt.register_post_import_hook does not call the hook')
    return Probe(version=metadata.version('wrapt'))


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
            gpu_error = describe(error)
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
    'safetensors': probe_safetensors,
    'wrapt': probe_wrapt,
    'mmengine': probe_mmengine,
    'mmcv': probe_mmcv,
    'mmdet': probe_mmdet,
    'mmseg': probe_mmseg,
    'mmpretrain': probe_mmpretrain,
}
"""The probe of each package, by import name; a package stands behind those that it imports."""


def describe(error: BaseException) -> str:
    """Give type and message of an exception and of those it was raised from, on one line."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 3:
        parts.append(' '.join(f'{type(cause).__name__}: {cause}'.split()))
        cause = cause.__cause__
    return ' <- '.join(parts)


def try_package(name: str) -> Probe:
    """Try one package in this process.

    Args:
        name: Import name.
    """
    if find_spec(name) is None:
        return Probe(missing=True)
    try:
        return PROBES[name]()
    except Exception as error:
        return Probe(error=describe(error))


def main(names: Sequence[str]) -> None:
    """Try packages one after the other, and print a line of JSON for each: name and result.

    Args:
        names: Import names.
    """
    # Libraries print while they are imported: only results may reach the real standard output.
    results = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in names:
        print(json.dumps([name, asdict(try_package(name))]), file=results, flush=True)


if __name__ == '__main__':
    # The parent's path: without this folder, whose files could hide modules of the same name.
    sys.path[:] = json.loads(sys.argv[1])
    main(sys.argv[2:])
