"""Export a whole detector, compared with mmdet's own predictions before it is kept."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from mmvmlp.datasets.digit_scenes import compose_scene
from mmvmlp.deploy.export import (
    Exported,
    Outputs,
    onnx_contents,
    openvino_contents,
    openvino_model,
    write_files,
)
from mmvmlp.deploy.fuse import fuse
from mmvmlp.deploy.metadata import describe
from mmvmlp.deploy.runtimes import RUNTIMES, load_runtime
from mmvmlp.deploy.sizes import ImageSizes
from mmvmlp.deploy.whole_detector import Detections, WholeDetector, whole_detector
from mmvmlp.inference.trained_model import load_trained_model
from mmvmlp.ops.execution import traced_for_runtimes
from mmvmlp.optional_packages import import_optional
from mmvmlp.output_files import check_file_can_be_written

SUFFIXES = ('.onnx', '.xml')
"""Suffixes of the files that can be written."""

TOLERANCES = {'boxes': 1e-4, 'scores': 1e-4, 'masks': 1e-3}
"""Accepted differences: of boxes relative to the longer side of the image."""


def export_whole_detector(
    config: Config, checkpoint: str | Path, file: Path, height: int, width: int, *, fused: bool
) -> Exported:
    """Export a trained detector as a whole, for one image of one size.

    Args:
        config: Config of the model.
        checkpoint: Of the whole model, as training writes it.
        file: ``.onnx``; or ``.xml`` for OpenVINO, with a ``.bin`` beside it.
        height: Of the padded image.
        width: Of the padded image.
        fused: True to export the backbone's inference form, which computes the same.

    Raises:
        CheckpointError: If the checkpoint cannot be read or is of another model.
        ModuleNotFoundError: If a package of the extra ``deploy`` is missing.
        OSError: If a file is missing, or the new one cannot be written.
        TypeError: If the model's backbone is not one of ours.
        ValueError: If an argument or a part of the detector is not accepted, or the exported
            detector differs from the model.
    """
    given = f'--whole {height} {width}'
    if config.get('default_scope') != 'mmdet':
        raise ValueError(f'{given}: {config.filename} is not the config of a detector of mmdet')
    if file.suffix not in SUFFIXES:
        raise ValueError(
            f'--out {str(file)!r}: with --whole, accepted are names in {", ".join(SUFFIXES)}'
        )
    if min(height, width) < 1:
        raise ValueError(f'{given}: accepted are positive numbers of pixels')
    check_file_can_be_written(file, '--out')
    for package in ('onnx', 'onnxscript', *RUNTIMES):
        import_optional(package, 'deploy')
    model = load_trained_model(config, checkpoint, 'cpu')
    images = scenes(model, height, width)
    padded = tuple(images[0].shape[2:])
    if padded != (height, width):
        raise ValueError(
            f'{given}: the model pads such images to {padded[0]} {padded[1]}; name that'
        )
    detector = whole_detector(fuse(model) if fused else model, height, width).eval()
    expected = [predictions(model, image) for image in images]
    if not any(len(detections[1]) for detections in expected):
        raise ValueError(
            'the model detects nothing in the scenes on which its export would be compared with '
            'it; train it, or lower score_thr of its test_cfg by --cfg-options'
        )
    names = detector.output_names()
    sizes = ImageSizes.of(model)
    metadata = describe(
        model, detector.task, config, sizes, [{'name': name} for name in names], 'fp32'
    ) | {'minimum_size': str(min(height, width)), 'fixed_size': json.dumps([height, width])}
    with warnings.catch_warnings():
        # torchvision's suppression uses a deprecated name of PyTorch.
        warnings.simplefilter('ignore', FutureWarning)
        contents = onnx_contents(_program(detector, images[0]), names, metadata)
    difference = max(
        largest_difference(name, load_runtime(name, contents), images, expected)
        for name in RUNTIMES
    )
    files = {file: contents}
    if file.suffix == '.xml':
        files, difference = openvino_contents(
            openvino_model(contents),
            file,
            metadata,
            lambda run: largest_difference('openvino', run, images, expected),
        )
    write_files(files)
    return Exported(file, metadata, difference)


@torch.no_grad()
def _program(detector: WholeDetector, image: torch.Tensor) -> torch.export.ExportedProgram:
    with traced_for_runtimes():
        return torch.export.export(detector, (image,))


def scenes(model: BaseModel, height: int, width: int) -> list[torch.Tensor]:
    """Return two digit scenes of a size, as the model sees them in a test: (1, 3, H, W) each."""
    batches = []
    for index in range(2):
        scene = compose_scene(
            'val',
            index,
            seed=0,
            size=(height, width),
            digits_per_scene=(3, 7),
            digit_height=(0.2, 0.4),
        )
        pixels = torch.from_numpy(np.ascontiguousarray(scene.image[..., ::-1])).permute(2, 0, 1)
        batches.append(model.data_preprocessor({'inputs': [pixels]}, False)['inputs'])
    return batches


@torch.no_grad()
def predictions(model: BaseModel, image: torch.Tensor) -> Detections:
    """Return what mmdet's own detector predicts in an image, with masks before they are pasted.

    Args:
        model: In evaluation mode.
        image: (1, C, H, W), normalised and padded.

    Returns:
        As :meth:`mmvmlp.deploy.whole_detector.WholeDetector.forward`.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import bbox2roi

    shape = tuple(image.shape[2:])
    about = {'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1.0, 1.0)}
    (sample,) = model.predict(image, [DetDataSample(metainfo=about)], rescale=False)
    found = sample.pred_instances
    detections = (found.bboxes, found.scores, found.labels)
    if not model.with_mask:
        return detections
    if not len(found):
        return (*detections, image.new_zeros(0, 1, 1))
    roi_head = model.roi_head
    logits = roi_head._mask_forward(model.extract_feat(image), bbox2roi([found.bboxes]))
    of_class = torch.zeros_like(found.labels) if roi_head.mask_head.class_agnostic else found.labels
    masks = logits['mask_preds'][torch.arange(len(found)), of_class].sigmoid()
    return (*detections, masks)


def largest_difference(
    runtime: str,
    run: Callable[[torch.Tensor], Outputs],
    images: Sequence[torch.Tensor],
    expected: Sequence[Detections],
) -> float:
    """Compare the detections of a runtime with those of mmdet.

    Args:
        runtime: Name for the error.
        run: From an image to detections.
        images: Images.
        expected: Detections of mmdet in each.

    Returns:
        The largest difference: of boxes relative to the longer side, of scores, or of masks.

    Raises:
        ValueError: If a detection has no counterpart within :data:`TOLERANCES`.
    """
    largest = 0.0
    for image, theirs in zip(images, expected, strict=True):
        ours = [torch.as_tensor(output) for output in run(image)]
        if len(ours[1]) != len(theirs[1]):
            raise ValueError(
                f'the exported detector is not the model: in {runtime}, {len(ours[1])} detections '
                f'instead of {len(theirs[1])}'
            )
        if not len(ours[1]):
            continue
        # Scores that are equal but for rounding may come in another order.
        boxes = (ours[0][:, None] - theirs[0]).abs().amax(2) / max(image.shape[2:])
        distances = boxes.maximum((ours[1][:, None] - theirs[1]).abs())
        distances[ours[2][:, None] != theirs[2]] = torch.inf
        match = distances.argmin(0)
        if len(set(match.tolist())) < len(match):
            raise ValueError(
                f'the exported detector is not the model: in {runtime}, detections are others'
            )
        differences = {
            'boxes': boxes[match, torch.arange(len(match))],
            'scores': (ours[1][match] - theirs[1]).abs(),
        }
        if len(theirs) > 3:
            differences['masks'] = (ours[3][match] - theirs[3]).abs()
        for name, values in differences.items():
            difference = float(values.max())
            # Not `>`, which a NaN would pass.
            if not difference <= TOLERANCES[name]:
                raise ValueError(
                    f'the exported detector is not the model: in {runtime}, {name} differ by '
                    f'{difference:.1e}, and {TOLERANCES[name]:.0e} is accepted'
                )
            largest = max(largest, difference)
    return largest
