"""Time networks in turns, beside the products of matrices that bound them."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import prod
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mmvmlp.analysis.complexity import count_complexity
from mmvmlp.analysis.contestants import (
    Mode,
    WholeModel,
    build_network,
    parse_contestant,
    step_of,
)
from mmvmlp.analysis.machine import matrix_products
from mmvmlp.analysis.memory import check_device, measure_peak
from mmvmlp.backbones.arguments import positive_integer

BACKWARD_SHARE = 2
"""Operations of a backward pass, relative to those of its forward pass."""

aten = torch.ops.aten
COUNTED_OUTPUTS = {aten.convolution, aten.mm, aten.addmm, aten.bmm, aten.baddbmm}


@dataclass(frozen=True)
class Measurement:
    """Speed and memory of a contestant.

    Attributes:
        name: Its name, with its modes.
        mode: Its mode.
        parameters: Number of learnable parameters.
        macs: Multiply-accumulate operations of the forward pass for an image, before fusing; None
            if a whole model has parts that cannot be counted.
        macts: Outputs of its convolutions and products for an image; None for whole models.
        compiled_frames: Functions that torch compiled.
        seconds: Duration of each call, in the order of the rounds.
        peak_bytes: Peak memory of a call beyond that before it.
        activation_bytes: Memory of what a training step stores for its backward pass, without the
            parameters; None for inference.
    """

    name: str
    mode: Mode
    parameters: int
    macs: int | None
    macts: int | None
    compiled_frames: int
    seconds: tuple[float, ...]
    peak_bytes: int
    activation_bytes: int | None

    @property
    def median(self) -> float:
        """Median duration of a call, in seconds."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """95th percentile of the durations, in seconds, interpolated."""
        return float(torch.tensor(self.seconds, dtype=torch.float64).quantile(0.95))

    @property
    def operations(self) -> int | None:
        """Floating-point operations of a call for an image: two for each MAC."""
        if self.macs is None:
            return None
        return 2 * self.macs * (1 + BACKWARD_SHARE if self.mode.train else 1)


@dataclass(frozen=True)
class Benchmark:
    """Contestants that were timed in turns, in one process.

    Attributes:
        shape: Height and width of the images in pixels.
        batch: Number of images of a call.
        measurements: Of the contestants, in their order.
        matrix_rates: Highest rate of a product of matrices, in floating-point operations per
            second, by dtype; timed in the same rounds.
    """

    shape: tuple[int, int]
    batch: int
    measurements: tuple[Measurement, ...]
    matrix_rates: dict[str, float]

    def images_per_second(self, measurement: Measurement) -> float:
        """Return the throughput of a contestant."""
        return self.batch / measurement.median

    def ratio(self, measurement: Measurement) -> float:
        """Return how often a contestant is as fast as the first one."""
        return self.measurements[0].median / measurement.median

    def share_of_matrix_rate(self, measurement: Measurement) -> float | None:
        """Return a contestant's operations per second over the rate of products in its dtype."""
        rate = self.matrix_rates.get(measurement.mode.dtype)
        if measurement.operations is None or rate is None:
            return None
        return self.images_per_second(measurement) * measurement.operations / rate


def run_benchmark(
    names: Sequence[str],
    shape: tuple[int, int] = (224, 224),
    batch: int = 1,
    *,
    mode: Mode | None = None,
    device: str = 'cpu',
    threads: int | None = None,
    repetitions: int = 20,
    report: Callable[[str], None] = lambda line: None,
) -> Benchmark:
    """Time contestants in turns: in each round every one is called once.

    Args:
        names: Contestants, each a network with its modes, as
            :func:`~mmvmlp.analysis.contestants.parse_contestant` reads them.
        shape: Height and width of the images in pixels.
        batch: Number of images of a call.
        mode: Modes of all contestants, where their names do not say otherwise.
        device: 'cpu', or a CUDA device.
        threads: Threads of torch and of the runtimes; by default torch's.
        repetitions: Number of rounds.
        report: Called with a line for each step of the preparation.

    Raises:
        FileNotFoundError: If a config or a file is missing.
        ImportError: If a package that is needed is not installed.
        OSError: If peak memory cannot be read on this system.
        ValueError: If a name or a number is not accepted.
    """
    height, width = positive_integer('height', shape[0]), positive_integer('width', shape[1])
    positive_integer('batch', batch)
    positive_integer('repetitions', repetitions)
    check_device(device)
    if threads is not None:
        torch.set_num_threads(positive_integer('threads', threads))
    # All of them, before the first is built.
    parsed = [parse_contestant(name, mode or Mode()) for name in names]
    torch.manual_seed(0)
    images = torch.randn(batch, 3, height, width, device=device)
    contestants = []
    # Networks of one family share their code, which torch compiles again for each.
    with torch._dynamo.config.patch(recompile_limit=8 * len(parsed)):
        for text, (name, own_mode) in zip(names, parsed, strict=True):
            report(text)
            contestants.append(_prepared(text, name, own_mode, images))
        dtypes = sorted({own_mode.dtype for _, own_mode in parsed} - {'int8'})
        products = {dtype: matrix_products(device, dtype) for dtype in dtypes}
        multiplications = [call for dtype in dtypes for call, _ in products[dtype]]
        for call in multiplications:
            call()
        report(f'{repetitions} rounds')
        seconds = time_in_turns(
            [*(call for call, _ in contestants), *multiplications],
            repetitions,
            partial(torch.cuda.synchronize, device) if images.is_cuda else lambda: None,
        )
    timed = iter(seconds[len(contestants) :])
    return Benchmark(
        shape=(height, width),
        batch=batch,
        measurements=tuple(
            Measurement(seconds=tuple(own), **known)
            for (_, known), own in zip(contestants, seconds, strict=False)
        ),
        matrix_rates={
            dtype: max(operations / statistics.median(next(timed)) for _, operations in group)
            for dtype, group in products.items()
        },
    )


def time_in_turns(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    synchronize: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Time functions in turns, each once a round, so that they share a machine's good moments.

    Args:
        calls: Functions that were called before, in the order of a round.
        rounds: Number of rounds.
        synchronize: Waits until a call is complete.

    Returns:
        Seconds of each function in each round.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    gc.collect()
    for _ in range(rounds):
        for call, own in zip(calls, seconds, strict=True):
            synchronize()
            start = perf_counter()
            call()
            synchronize()
            own.append(perf_counter() - start)
    return seconds


def _prepared(
    text: str, name: str, mode: Mode, images: torch.Tensor
) -> tuple[Callable[[], object], dict[str, Any]]:
    """Build a contestant; return its call, and what is known of it before it is timed."""
    network = build_network(name, mode.arguments).eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    macs, macts = count_operations(network, (images.shape[2], images.shape[3]))
    network = network.to(images.device)
    call = step_of(text, network, mode, images, torch.get_num_threads())
    device, compiled_before = str(images.device), _compiled_frames()
    peak = measure_peak(call, device)
    compiled = _compiled_frames() - compiled_before
    if mode.compile and not compiled:
        raise ValueError(f'{text!r}: torch.compile has compiled nothing')
    activations = stored_bytes(call, network) if mode.train else None
    if mode.runtime == 'torch':
        # Runtimes keep their memory from the first call on; torch compiles in that call.
        network.zero_grad(set_to_none=True)
        peak = measure_peak(call, device)
    return call, {
        **{'name': text, 'mode': mode, 'parameters': parameters, 'macs': macs, 'macts': macts},
        **{'compiled_frames': compiled, 'peak_bytes': peak, 'activation_bytes': activations},
    }


def _compiled_frames() -> int:
    return int(torch._dynamo.utils.counters['frames']['ok'])


class _CountOutputs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the outputs of convolutions and products, the activations of timm's tables."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outputs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in COUNTED_OUTPUTS:
            self.outputs += prod(out.shape)
        return out


@torch.no_grad()
def count_operations(network: nn.Module, shape: tuple[int, int]) -> tuple[int | None, int | None]:
    """Count the MACs and activations of a network for an image, on the meta device.

    Args:
        network: From :func:`~mmvmlp.analysis.contestants.build_network`.
        shape: Height and width of the image in pixels.

    Returns:
        MACs, None for a model with parts that cannot be counted; and the outputs of convolutions
        and products, None for whole models.
    """
    if isinstance(network, WholeModel):
        try:
            return sum(part.macs for part in count_complexity(network.config, *shape)), None
        except ValueError:
            return None, None
    image = torch.empty(1, 3, *shape, device='meta')
    with FlopCounterMode(display=False) as operations, _CountOutputs() as outputs:
        deepcopy(network).to('meta')(image)
    # The counter counts a multiplication and its addition as two.
    return operations.get_total_flops() // 2, outputs.outputs


def stored_bytes(step: Callable[[], object], network: nn.Module) -> int:
    """Measure the memory of all tensors that a training step stores for its backward pass.

    Args:
        step: Forward and backward pass.
        network: Its parameters and buffers, which are stored anyway, are left out.
    """
    weights = [*network.parameters(), *network.buffers()]
    known = {weight.untyped_storage().data_ptr() for weight in weights}
    stored: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(stored.values())
