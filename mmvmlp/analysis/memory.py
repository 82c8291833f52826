"""Peak memory of a backbone's forward pass, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from mmvmlp.build import build_backbone, list_backbones

PROCESS_STATUS = Path('/proc/self/status')
RESET_PEAK = Path('/proc/self/clear_refs')


@dataclass(frozen=True)
class ForwardMemory:
    """What a forward pass needs.

    Attributes:
        name: The backbone.
        weights: Bytes of its parameters and buffers.
        peak: Bytes that the pass needed at its peak beyond what was there before: the image, the
            activations, and the workspace of the operators.
    """

    name: str
    weights: int
    peak: int


def measure_forward_memory(
    names: Sequence[str], height: int, width: int, device: str = 'cpu'
) -> Iterator[ForwardMemory]:
    """Measure backbones one after the other: one image, forward only, float32.

    Args:
        names: Of registered backbones.
        height: Of the image in pixels.
        width: Of the image in pixels.
        device: 'cpu', where the peak is that of the process (Linux only), or a CUDA device, where
            it is that of PyTorch's allocator.

    Raises:
        OSError: If the CPU's peak cannot be read on this system.
        ValueError: If a name is not known.
    """
    known = list_backbones()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f'names {list(names)!r}: known are {", ".join(known)}')
    if device == 'cpu' and not RESET_PEAK.exists():
        raise OSError('the peak of a process can be read on Linux only; name a CUDA device')
    for name in names:
        # What an earlier network left to the allocator would hide what this one needs.
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
            yield pool.submit(_measure, name, height, width, device).result()


@torch.inference_mode()
def _measure(name: str, height: int, width: int, device: str) -> ForwardMemory:
    backbone = build_backbone(name).eval().to(device)
    weights = sum(
        tensor.numel() * tensor.element_size() for tensor in backbone.state_dict().values()
    )
    # What the first call of an operator loads is not the network's.
    backbone(torch.zeros(1, 3, backbone.minimum_size, backbone.minimum_size, device=device))
    if device == 'cpu':
        RESET_PEAK.write_text('5')
        before = _process_peak()
        backbone(torch.randn(1, 3, height, width))
        return ForwardMemory(name, weights, _process_peak() - before)
    torch.cuda.reset_peak_memory_stats(device)
    allocated = torch.cuda.memory_allocated(device)
    backbone(torch.randn(1, 3, height, width, device=device))
    return ForwardMemory(name, weights, torch.cuda.max_memory_allocated(device) - allocated)


def _process_peak() -> int:
    found = re.search(r'^VmHWM:\s+(\d+) kB', PROCESS_STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f'{PROCESS_STATUS} says nothing of VmHWM')
    return 1024 * int(found[1])
