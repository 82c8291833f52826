"""Measure the peak memory of a backbone's forward pass, in a separate process."""

from __future__ import annotations

import ctypes
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from mmvmlp.backbones.arguments import positive_integer
from mmvmlp.build import build_backbone, resolve_name

PROCESS_STATUS = Path('/proc/self/status')
RESET_PEAK = Path('/proc/self/clear_refs')


@dataclass(frozen=True)
class ForwardMemory:
    """Memory of a forward pass.

    Attributes:
        name: Name of the backbone.
        weights: Size of its parameters and buffers in bytes.
        peak: Peak memory in bytes beyond that before the forward pass: image, activations, and
            workspace of the operators.
    """

    name: str
    weights: int
    peak: int


def measure_forward_memory(
    names: Sequence[str], height: int, width: int, device: str = 'cpu'
) -> Iterator[ForwardMemory]:
    """Measure backbones one by one: one image, forward only, float32.

    Args:
        names: Names for :func:`mmvmlp.build_backbone`.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        device: 'cpu' for the peak of the process (Linux only), or a CUDA device for the peak of
            PyTorch's allocator.

    Returns:
        Measurements, each yielded when it is complete.

    Raises:
        OSError: If the peak of a process cannot be read on this system.
        ValueError: If a name or the device is unknown, or the image is too small.
    """
    names = [resolve_name(name) for name in names]
    shape = (1, 3, positive_integer('height', height), positive_integer('width', width))
    check_device(device)
    for name in names:
        with torch.device('meta'):
            # Refuses an image that is too small before anything is measured.
            build_backbone(name).eval()(torch.empty(shape))
    return (_measured_alone(name, height, width, device) for name in names)


def check_device(device: str) -> None:
    """Check that a device is there and its peak memory can be measured.

    Args:
        device: 'cpu', or a CUDA device.

    Raises:
        OSError: If the peak of a process cannot be read on this system.
        ValueError: If the device is unknown.
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device('meta')
    if found.type not in ('cpu', 'cuda'):
        raise ValueError(f"device={device!r}: 'cpu', 'cuda' and 'cuda:N' are accepted")
    if found.type == 'cuda' and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'device={device!r}: PyTorch finds {torch.cuda.device_count()} CUDA devices'
        )
    if found.type == 'cpu' and not RESET_PEAK.exists():
        raise OSError('peak memory of the CPU can be measured on Linux only; use a CUDA device')


def _measured_alone(name: str, height: int, width: int, device: str) -> ForwardMemory:
    # Memory that an earlier network left in the allocator would hide this one's peak.
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
        return pool.submit(_measure, name, height, width, device).result()


@torch.inference_mode()
def _measure(name: str, height: int, width: int, device: str) -> ForwardMemory:
    backbone = build_backbone(name).eval().to(device)
    weights = sum(
        tensor.numel() * tensor.element_size() for tensor in backbone.state_dict().values()
    )
    # Warm up, since the first call of an operator loads its library.
    backbone(torch.zeros(1, 3, backbone.minimum_size, backbone.minimum_size, device=device))
    peak = measure_peak(lambda: backbone(torch.randn(1, 3, height, width, device=device)), device)
    return ForwardMemory(name, weights, peak)


def measure_peak(call: Callable[[], object], device: str) -> int:
    """Measure the peak memory of a call, in bytes beyond that before it.

    Args:
        call: What is measured. Call it before, since the first call of an operator loads its
            library.
        device: 'cpu' for the peak of the process (Linux only), or a CUDA device for the peak of
            PyTorch's allocator.

    Raises:
        OSError: If the peak of a process cannot be read on this system.
    """
    if torch.device(device).type == 'cpu':
        _return_free_memory()
        RESET_PEAK.write_text('5')
        before = _process_peak()
        call()
        return _process_peak() - before
    torch.cuda.reset_peak_memory_stats(device)
    allocated = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - allocated


def _return_free_memory() -> None:
    """Return to the system what the allocator keeps of earlier calls; it would hide a peak."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)


def _process_peak() -> int:
    found = re.search(r'^VmHWM:\s+(\d+) kB', PROCESS_STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f'{PROCESS_STATUS} has no line VmHWM')
    return 1024 * int(found[1])
