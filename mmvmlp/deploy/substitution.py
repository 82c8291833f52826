"""Let a model compute with an exported file, so that its toolbox's evaluator judges the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from mmvmlp.deploy.metadata import fingerprint, read_metadata
from mmvmlp.deploy.parts import PARTS
from mmvmlp.deploy.runtimes import load_runtime


class ExportedModelHook(Hook):
    """Replaces the exported part of a model by a runtime, when its test begins.

    Args:
        file: ONNX file of ``mmvmlp export``.
        runtime: Name in :func:`mmvmlp.deploy.runtimes.load_runtime`.
        precision: Its precision.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If onnx or the runtime is not installed.
        ValueError: If an argument is not accepted.
    """

    def __init__(self, file: str | Path, runtime: str, precision: str = 'fp32') -> None:
        self.file = file
        self.metadata = read_metadata(file)
        if self.metadata['task'] == 'detection' and self.metadata['fixed_size'].startswith('['):
            raise ValueError(
                f'exported file {str(file)!r} is a whole detector, which takes images of one size '
                "only; mmdet's evaluator tests the pyramid, which is exported without --whole"
            )
        self.run = load_runtime(runtime, file, precision=precision)

    def before_test(self, runner: Any) -> None:
        """Replace the part; the checkpoint is loaded by now.

        Raises:
            ValueError: If the file was exported from other weights.
        """
        if self.metadata['weights'] != fingerprint(runner.model):
            raise ValueError(
                f'exported file {str(self.file)!r} has other weights than the checkpoint; export '
                'this checkpoint'
            )
        (part,) = (part for part in PARTS.values() if part.task == self.metadata['task'])
        part.replace(runner.model, self._computed)

    def _computed(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(output).to(images.device) for output in self.run(images)]
