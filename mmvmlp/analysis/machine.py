"""The machine that a benchmark runs on: facts, its allocator, and the rate of its products."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

PROCESSOR = Path('/proc/cpuinfo')
LOADED_LIBRARIES = Path('/proc/self/maps')
ALLOCATORS = ('jemalloc', 'tcmalloc', 'mimalloc')
"""Allocators that replace that of the C library, by a part of their file's name."""

ALLOCATOR_SETTINGS = re.compile('MALLOC_|GLIBC_TUNABLES$|MIMALLOC_|TCMALLOC_')
KEEPS_MEMORY = {
    'MALLOC_MMAP_THRESHOLD_': '4294967296',
    'MALLOC_TRIM_THRESHOLD_': '4294967296',
}
"""Variables with which glibc's malloc keeps large blocks, so that they need no new pages."""

DISTRIBUTIONS = (
    *('mmvmlp', 'torch', 'torchvision', 'timm', 'onnxruntime', 'openvino', 'nncf'),
    *('onedl-mmdetection', 'onedl-mmsegmentation', 'onedl-mmpretrain'),
)

MATRICES = {
    'cpu': ((25088, 64, 256), (6272, 128, 512), (1568, 320, 1280), (1024, 1024, 1024)),
    'cuda': ((100352, 320, 1280), (8192, 4096, 4096), (8192, 8192, 8192)),
}
"""Rows, inputs and outputs of the products that a device's rate is measured by."""


def machine_facts(device: str) -> dict[str, Any]:
    """Return what speed depends on: processor or GPU, threads, versions, allocator, TF32.

    Args:
        device: 'cpu', or a CUDA device.
    """
    on_cpu = torch.device(device).type == 'cpu'
    return {
        'device': _processor() if on_cpu else torch.cuda.get_device_name(device),
        'instructions': torch.backends.cpu.get_cpu_capability(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': torch.get_num_threads(),
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'versions': _versions(),
        'allocator': allocator(),
        'allocator_settings': _allocator_settings(),
        'mkldnn': torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        'tf32': None if on_cpu else torch.backends.cuda.matmul.allow_tf32,
    }


def _processor() -> str:
    named = re.search(r'^model name\s*: (.+)$', _text(PROCESSOR), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ''


def _versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def allocator() -> str:
    """Return the name of the allocator that this process uses."""
    libraries = _text(LOADED_LIBRARIES)
    for name in ALLOCATORS:
        if name in libraries:
            return name
    library, version = platform.libc_ver()
    return f'{library} {version}'.strip() or sys.platform


def _allocator_settings() -> dict[str, str]:
    """Return the variables that the allocators read, sorted by name."""
    return {name: os.environ[name] for name in sorted(os.environ) if ALLOCATOR_SETTINGS.match(name)}


def allocator_advice(facts: Mapping[str, Any]) -> str | None:
    """Return how to run with an allocator that is faster for large maps, if this one is not.

    Args:
        facts: From :func:`machine_facts`.
    """
    if not facts['allocator'].startswith('glibc') or facts['allocator_settings']:
        return None
    settings = ' '.join(f'{name}={value}' for name, value in KEEPS_MEMORY.items())
    return (
        "glibc's malloc returns large blocks to the system, and every new one costs page faults. "
        f'To let it keep them, run with {settings}'
    )


def matrix_products(device: str, dtype: str) -> list[tuple[Callable[[], object], int]]:
    """Return products as networks have them, each with its floating-point operations.

    Args:
        device: 'cpu', or a CUDA device.
        dtype: Name of a torch dtype.
    """
    products = []
    for rows, inputs, outputs in MATRICES[torch.device(device).type]:
        x = torch.randn(rows, inputs, device=device).to(getattr(torch, dtype))
        weight = torch.randn(outputs, inputs, device=device).to(getattr(torch, dtype))
        products.append((_product(x, weight), 2 * rows * inputs * outputs))
    return products


def _product(x: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    @torch.inference_mode()
    def multiply() -> object:
        return functional.linear(x, weight)

    return multiply
