"""Export a model to ONNX or to a ``torch.export`` program, verified before it is kept.

Normalisation stays outside of the graph, as in mmdeploy and timm: its numbers are in the metadata,
and runtimes can fuse them into the reading of images.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.fx.experimental._config as shape_config
from mmengine.config import Config
from torch import nn
from torch._dynamo.exc import UserError
from torch.export import Dim, ExportedProgram

from mmvmlp.deploy.fuse import fuse
from mmvmlp.deploy.metadata import OPENVINO_SECTION, describe, describe_outputs
from mmvmlp.deploy.openvino_core import openvino_core
from mmvmlp.deploy.parts import PARTS
from mmvmlp.deploy.quantization import calibration_images, quantized
from mmvmlp.deploy.runtimes import RUNTIMES, Runtime, load_runtime
from mmvmlp.deploy.sizes import ImageSizes
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.ops.execution import traced_for_runtimes
from mmvmlp.optional_packages import import_optional
from mmvmlp.output_files import check_file_can_be_written, write_atomically

SUFFIXES = ('.onnx', '.xml', '.pt2')
"""Suffixes of the files that can be written: ONNX, OpenVINO (with a ``.bin``), torch.export."""

TOLERANCE = 1e-4
"""Accepted difference of an exported model, relative to the largest value of each output."""

INT8_TOLERANCE = 0.5
"""The same of a quantised model on images of its calibration: beyond it, something is broken."""

Outputs = Sequence[torch.Tensor | npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Exported:
    """Description of an export.

    Attributes:
        file: The file.
        metadata: What it says about itself.
        difference: Largest difference from the model, relative to the largest value of an output.
    """

    file: Path
    metadata: Mapping[str, str]
    difference: float


def export_checkpoint(
    config: Config,
    checkpoint: str | Path,
    file: Path,
    *,
    fused: bool | None = None,
    calibration: Sequence[Path] = (),
) -> Exported:
    """Export a trained model.

    The file is compared with the model at sizes that the exporter has not seen before it is put
    into its place.

    Args:
        config: Config of the model.
        checkpoint: Of the whole model, as training writes it.
        file: ``.onnx``; ``.xml`` for OpenVINO, with a ``.bin`` beside it; or ``.pt2`` for
            ``torch.export.load``.
        fused: True to export the backbone's inference form, which computes the same; by default
            unless quantised, since NNCF cannot quantise that of Hire-MLP.
        calibration: Image files; with any, an ``.xml`` file is quantised to eight-bit integers.

    Raises:
        CheckpointError: If the checkpoint cannot be read or is of another model.
        ModuleNotFoundError: If a package of the extra ``deploy`` is missing.
        OSError: If a file is missing, or the new one cannot be written.
        TypeError: If the model's backbone is not one of ours.
        ValueError: If an argument is not accepted, or the exported model differs from the model.
    """
    toolbox = config.get('default_scope')
    if toolbox not in PARTS:
        raise ValueError(
            f'default_scope={toolbox!r} in {config.filename}: it must name the toolbox, one of '
            f'{", ".join(PARTS)}'
        )
    if file.suffix not in SUFFIXES:
        raise ValueError(f'--out {str(file)!r}: accepted are names in {", ".join(SUFFIXES)}')
    if calibration and file.suffix != '.xml':
        raise ValueError(f'--out {str(file)!r}: int8 is for OpenVINO, whose files end in .xml')
    if calibration and fused:
        raise ValueError('--fuse with --int8: NNCF quantises the trained form only')
    check_file_can_be_written(file, '--out')
    if file.suffix != '.pt2':
        for package in ('onnx', 'onnxscript', *RUNTIMES, *(['nncf'] if calibration else [])):
            import_optional(package, 'deploy')
    model = load_trained_model(config, checkpoint, 'cpu')
    part = PARTS[toolbox](model).eval()
    outputs = describe_outputs(part, ImageSizes.of(model))
    sizes = ImageSizes.of(model).for_strides(output.get('stride', 1) for output in outputs)
    if file.suffix == '.pt2' or calibration:
        # OpenVINO's integer kernels crash where a map is a single position.
        sizes = replace(sizes, minimum=sizes.traced_minimum)
    metadata = describe(
        part.model, part.task, config, sizes, outputs, 'int8' if calibration else 'fp32'
    )
    fused = not calibration if fused is None else fused
    program = export_program(
        PARTS[toolbox](fuse(model)).eval() if fused else part,
        sizes,
        for_runtimes=file.suffix != '.pt2',
    )
    if file.suffix == '.pt2':
        contents = {file: program_contents(program, metadata)}
        difference = check_program(contents[file], part, sizes)
    else:
        names = [output['name'] for output in outputs]
        contents = {file: onnx_contents(program, names, metadata)}
        difference = check_onnx(contents[file], part, sizes)
    if file.suffix == '.xml':
        converted = openvino_model(contents[file])
        images, tolerance = sizes.unseen(), TOLERANCE
        if calibration:
            images, tolerance = calibration_images(model, config, calibration), INT8_TOLERANCE
            converted = quantized(converted, images)
        contents, difference = openvino_contents(
            converted,
            file,
            metadata,
            lambda run: largest_difference('openvino', run, part, images[:2], tolerance),
        )
    write_files(contents)
    return Exported(file, metadata, difference)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Put the files of an exported model into their places, in this order."""
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)


@torch.no_grad()
def export_program(
    model: nn.Module, sizes: ImageSizes, *, for_runtimes: bool = True
) -> ExportedProgram:
    """Trace a model for any batch, height and width.

    Args:
        model: In evaluation mode; from images to a tuple of tensors. It is not changed.
        sizes: Sizes of its images.
        for_runtimes: True to use only operators that ONNX Runtime and OpenVINO have.

    Raises:
        ValueError: If the model's graph depends on the size.
    """
    model = with_exportable_pooling(model)
    dynamic: dict[int, Any] = {0: Dim('batch')}
    if sizes.fixed is None:
        smallest = sizes.traced_minimum
        dynamic |= {2: Dim('height', min=smallest), 3: Dim('width', min=smallest)}
    with (
        shape_config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
        traced_for_runtimes() if for_runtimes else nullcontext(),
    ):
        try:
            return torch.export.export(model, (sizes.example(),), dynamic_shapes=(dynamic,))
        except UserError as error:
            raise ValueError(
                f'the model cannot be exported for images of every size: {error}'
            ) from error


def onnx_contents(
    program: ExportedProgram, output_names: Sequence[str], metadata: Mapping[str, str]
) -> bytes:
    """Convert a program to an ONNX file with the input ``images``.

    Args:
        program: From :func:`export_program`.
        output_names: Names of its outputs.
        metadata: Becomes ``metadata_props``.

    Raises:
        ModuleNotFoundError: If onnx or onnxscript is not installed.
    """
    import_optional('onnx', 'deploy')
    operators = import_optional('onnxscript', 'deploy').opset18

    def remainder(tokens: Any, divisor: Any) -> Any:
        # PyTorch's own translation fails where the divisor is a dynamic size.
        return operators.Mod(tokens, operators.CastLike(divisor, tokens))

    converted = torch.onnx.export(
        program,
        input_names=['images'],
        output_names=list(output_names),
        dynamo=True,
        verbose=False,
        custom_translation_table={torch.ops.aten.remainder.Scalar: remainder},
    )
    assert converted is not None
    converted.model.metadata_props.update(metadata)
    contents: bytes = converted.model_proto.SerializeToString()
    return contents


def openvino_model(contents: bytes) -> Any:
    """Read an ONNX file as an ``openvino.Model``."""
    return openvino_core().read_model(contents)


def save_openvino(model: Any, file: Path, metadata: Mapping[str, str]) -> None:
    """Save an ``openvino.Model``.

    Args:
        model: The model; it is given the metadata.
        file: The ``.xml`` file; the ``.bin`` file is written beside it.
        metadata: Becomes ``rt_info``.
    """
    for key, value in metadata.items():
        model.set_rt_info(value, [OPENVINO_SECTION, key])
    import_optional('openvino', 'deploy').serialize(model, file, file.with_suffix('.bin'))


def openvino_contents(
    model: Any, file: Path, metadata: Mapping[str, str], check: Callable[[Runtime], float]
) -> tuple[dict[Path, bytes], float]:
    """Save an ``openvino.Model`` in a temporary folder, and check what was saved.

    Args:
        model: The model; it is given the metadata.
        file: The ``.xml`` file that is to be written.
        metadata: Becomes ``rt_info``.
        check: From the loaded model to its largest difference.

    Returns:
        The contents of both files, the weights first; and what the check returned.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / file.name
        save_openvino(model, written, metadata)
        difference = check(load_runtime('openvino', written))
        parts = (written.with_suffix('.bin'), written)
        return {file.with_name(path.name): path.read_bytes() for path in parts}, difference


def program_contents(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """Return a program as a file for ``torch.export.load``.

    Args:
        program: From :func:`export_program`.
        metadata: Becomes the extra file ``metadata.json``.
    """
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={'metadata.json': json.dumps(dict(metadata))})
    return file.getvalue()


def check_onnx(contents: bytes, model: nn.Module, sizes: ImageSizes) -> float:
    """Compare an ONNX file with its model, at sizes the exporter has not seen, in every runtime.

    Args:
        contents: Of the file.
        model: What was exported.
        sizes: Sizes of its images.

    Returns:
        The largest difference, relative to the largest value of an output.

    Raises:
        ModuleNotFoundError: If a runtime is not installed.
        ValueError: If a difference is above :data:`TOLERANCE`; the error has the runtime, the size
            and the difference.
    """
    return max(
        largest_difference(name, load_runtime(name, contents), model, sizes.unseen())
        for name in RUNTIMES
    )


def check_program(contents: bytes, model: nn.Module, sizes: ImageSizes) -> float:
    """Compare the file of a program with its model, as :func:`check_onnx` does.

    Args:
        contents: Of the file.
        model: What was exported.
        sizes: Sizes of its images.

    Returns:
        The largest difference, relative to the largest value of an output.

    Raises:
        ValueError: If a difference is above :data:`TOLERANCE`.
    """
    # The guards of a program refuse batches of one, for which its operators hold too.
    program = torch.export.load(io.BytesIO(contents)).module(check_guards=False)
    return largest_difference('torch.export', program, model, sizes.unseen())


@torch.no_grad()
def largest_difference(
    runtime: str,
    run: Callable[[torch.Tensor], Outputs],
    model: nn.Module,
    batches: Sequence[torch.Tensor],
    tolerance: float = TOLERANCE,
) -> float:
    """Compare what a runtime computes with what a model does.

    Args:
        runtime: Name for the error.
        run: From images to outputs.
        model: What was exported.
        batches: Images.
        tolerance: Accepted difference.

    Returns:
        The largest difference, relative to the largest value of an output.

    Raises:
        ValueError: If a difference is above the tolerance.
    """
    largest = 0.0
    for images in batches:
        for index, (theirs, ours) in enumerate(zip(run(images), model(images), strict=True)):
            difference = relative_difference(torch.as_tensor(theirs), ours)
            # Not `>`, which a NaN would pass.
            if not difference <= tolerance:
                batch, _, height, width = images.shape
                raise ValueError(
                    f'the exported model is not the model: in {runtime}, output {index} of {batch} '
                    f'images of {height}x{width} pixels differs by {difference:.1e} of its largest '
                    f'value, and {tolerance:.0e} is accepted'
                )
            largest = max(largest, difference)
    return largest


def relative_difference(values: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest expected value.

    Raises:
        ValueError: If the shapes differ.
    """
    if values.shape != expected.shape:
        raise ValueError(
            f'the exported model is not the model: an output has the shape {tuple(values.shape)} '
            f'instead of {tuple(expected.shape)}'
        )
    return float((values - expected).abs().max() / expected.abs().max())


class PoolingByProducts(nn.Module):
    """``torch.nn.AdaptiveAvgPool2d`` as two matrix products, exact at any size.

    ONNX has no such operator, and the bins depend on the size.

    Args:
        bins: Output height and width.
    """

    def __init__(self, bins: tuple[int, int]) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool: (N, C, H, W) to (N, C, *bins)."""
        height, width = (
            _averages(bins, x.shape[2 + side], x) for side, bins in enumerate(self.bins)
        )
        return height @ x @ width.mT


def _averages(bins: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix (bins, size) of adaptive average pooling."""
    number = torch.arange(bins, device=like.device)[:, None]
    token = torch.arange(size, device=like.device)
    start, end = number * size // bins, ((number + 1) * size + bins - 1) // bins
    inside = ((token >= start) & (token < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def with_exportable_pooling(model: nn.Module) -> nn.Module:
    """Return a copy whose adaptive poolings to more than one bin are :class:`PoolingByProducts`."""
    model = deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size
                height, width = size if isinstance(size, tuple) else (size, size)
                if height and width and (height, width) != (1, 1):
                    setattr(parent, name, PoolingByProducts((height, width)))
    return model
