"""Run an exported file on the CPU, in any runtime alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from mmvmlp.backbones.arguments import positive_integer
from mmvmlp.deploy.metadata import OPENVINO_SECTION
from mmvmlp.deploy.openvino_core import openvino_core
from mmvmlp.optional_packages import import_optional

Images = npt.NDArray[np.float32] | torch.Tensor


class Runtime(ABC):
    """An exported file, loaded and ready; called on images it returns the outputs.

    Args:
        model: The file, or what it contains.
        threads: Threads of one call.
        precision: One of ``precisions``.
    """

    name: ClassVar[str]
    """Name in :func:`load_runtime`."""

    suffixes: ClassVar[tuple[str, ...]] = ('.onnx',)
    """Suffixes of the files that it runs."""

    precisions: ClassVar[tuple[str, ...]]
    """Arithmetic that can be asked of it; integer operations of the file stay as they are."""

    minimum_size: int
    """Smallest height and width of the images in pixels; 1 if the file states none."""

    def __call__(self, images: Images) -> list[npt.NDArray[np.float32]]:
        """Run the model.

        Args:
            images: (N, 3, H, W) in float32, normalised.

        Returns:
            The outputs, in the order of the file.

        Raises:
            ValueError: If the images are smaller than the file accepts; runtimes may crash on them.
        """
        if isinstance(images, torch.Tensor):
            images = images.detach().cpu().numpy()
        height, width = images.shape[2:]
        if min(height, width) < self.minimum_size:
            raise ValueError(
                f'images of {height}x{width} pixels: the exported model accepts at least '
                f'{self.minimum_size}x{self.minimum_size}'
            )
        return self._run(np.ascontiguousarray(images, dtype=np.float32))

    @abstractmethod
    def __init__(self, model: Path | bytes, threads: int, precision: str) -> None: ...

    @abstractmethod
    def _run(self, images: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]: ...


class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU."""

    name = 'onnxruntime'
    precisions = ('fp32',)

    def __init__(self, model: Path | bytes, threads: int, precision: str) -> None:
        onnxruntime = import_optional('onnxruntime', 'deploy')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Errors only: its warnings are about its own optimisations.
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        self.session = onnxruntime.InferenceSession(
            source, options, providers=['CPUExecutionProvider']
        )
        stated = self.session.get_modelmeta().custom_metadata_map
        self.minimum_size = int(stated.get('minimum_size', 1))

    def _run(self, images: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        outputs: list[npt.NDArray[np.float32]] = self.session.run(None, {'images': images})
        return outputs


class OpenVino(Runtime):
    """OpenVINO on the CPU."""

    name = 'openvino'
    suffixes = ('.onnx', '.xml')
    precisions = ('fp32', 'bf16')

    def __init__(self, model: Path | bytes, threads: int, precision: str) -> None:
        core = openvino_core()
        read = core.read_model(model)
        # The second has the metadata of an ONNX file.
        for section in (OPENVINO_SECTION, 'framework'):
            stated = read.rt_info[section] if section in read.rt_info else {}
            if 'minimum_size' in stated:
                self.minimum_size = int(stated['minimum_size'].value)
                break
        else:
            self.minimum_size = 1
        self.compiled = core.compile_model(
            read,
            'CPU',
            {
                # Without it, processors with bfloat16 compute in that.
                'INFERENCE_PRECISION_HINT': {'fp32': 'f32', 'bf16': 'bf16'}[precision],
                'PERFORMANCE_HINT': 'LATENCY',
                'INFERENCE_NUM_THREADS': threads,
            },
        )

    def _run(self, images: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        outputs = self.compiled([images])
        # Copies: the next call overwrites the outputs of this one.
        return [np.array(outputs[index]) for index in range(len(self.compiled.outputs))]


RUNTIMES: dict[str, type[Runtime]] = {kind.name: kind for kind in (OnnxRuntime, OpenVino)}
"""Runtimes by name."""


def load_runtime(
    name: str,
    file: str | Path | bytes,
    *,
    threads: int | None = None,
    precision: str = 'fp32',
) -> Runtime:
    """Load an exported file.

    Args:
        name: ``'onnxruntime'`` or ``'openvino'``.
        file: ``.onnx``, or ``.xml`` for OpenVINO, of ``mmvmlp export``; or the contents of an ONNX
            file.
        threads: Threads of one call; by default as many as PyTorch uses.
        precision: ``'fp32'``; or ``'bf16'``, in OpenVINO only, which is fast on processors with
            bfloat16 instructions.

    Returns:
        A callable from images to a list of outputs.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If the runtime is not installed.
        ValueError: If an argument is not accepted, or the runtime cannot read the file.
    """
    if name not in RUNTIMES:
        raise ValueError(f'runtime={name!r}: accepted are {", ".join(map(repr, RUNTIMES))}')
    runtime = RUNTIMES[name]
    if precision not in runtime.precisions:
        raise ValueError(
            f'precision={precision!r}: {name} runs in {" and ".join(runtime.precisions)} here'
        )
    if not isinstance(file, bytes):
        file = Path(file)
        if not file.is_file():
            raise FileNotFoundError(f'exported file {str(file)!r} does not exist')
        if file.suffix not in runtime.suffixes:
            raise ValueError(
                f'exported file {str(file)!r}: {name} runs {" and ".join(runtime.suffixes)} files'
            )
    threads = torch.get_num_threads() if threads is None else positive_integer('threads', threads)
    try:
        return runtime(file, threads, precision)
    except ImportError:
        raise
    except Exception as error:
        # Both raise errors of their own kinds for a file that is not a model.
        what = 'the exported model' if isinstance(file, bytes) else f'file {str(file)!r}'
        raise ValueError(f'{what} cannot be loaded by {name}: {error}') from error
