"""Evaluates the newest checkpoint of a training on its validation data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmvmlp.config.loading import set_data_root
from mmvmlp.config.required_files import check_data
from mmvmlp.config.settings import newest_checkpoint
from mmvmlp.report.classification import find_in_classifier
from mmvmlp.report.detection import find_in_detector
from mmvmlp.report.findings import Findings, NotEvaluatedError
from mmvmlp.report.runs import Run
from mmvmlp.report.segmentation import find_in_segmentor
from mmvmlp.report.validation import Validation, prepare_validation

FINDERS: Mapping[str, Callable[[Validation, int], Findings]] = {
    'mmdet': find_in_detector,
    'mmseg': find_in_segmentor,
    'mmpretrain': find_in_classifier,
}
"""By toolbox, what evaluates its models."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation, or why there is none.

    Attributes:
        findings: What was found, or None.
        about: The checkpoint and how many images it was evaluated on; or the reason.
    """

    findings: Findings | None
    about: str


def evaluate_run(
    run: Run,
    images: int,
    gallery: int,
    device: str = 'cpu',
    data_root: str | None = None,
) -> Evaluation:
    """Evaluate the newest whole checkpoint of a training.

    Args:
        run: The training.
        images: The most validation images to predict; 0 for no evaluation.
        gallery: The most images in each of the galleries, of the worst and of the best.
        device: ``'cpu'``, ``'cuda'`` or one GPU, ``'cuda:1'``.
        data_root: Data folder, in place of the config's.

    Raises:
        CheckpointError: If a checkpoint cannot be read or is of another model.
        FileNotFoundError: If data are not in the folder that was given.
        ValueError: If an argument is not accepted.
    """
    config = run.config
    if not images:
        return Evaluation(None, 'Not evaluated: no images were asked for.')
    if data_root is not None:
        set_data_root(config, data_root)
    if config.get('default_scope') not in FINDERS:
        return Evaluation(None, 'Not evaluated: the config is of none of the three toolboxes.')
    if not config.get('val_dataloader'):
        return Evaluation(None, 'Not evaluated: the config has no validation data.')
    checkpoint = newest_checkpoint(config)
    if checkpoint is None:
        return Evaluation(None, 'Not evaluated: the work folder has no checkpoint yet.')
    try:
        check_data(config, ('val',))
    except FileNotFoundError as error:
        if data_root is not None:
            raise
        return Evaluation(None, f'Not evaluated: {error}')
    validation = prepare_validation(config, checkpoint, images, device)
    try:
        findings = FINDERS[config.default_scope](validation, gallery)
    except NotEvaluatedError as error:
        return Evaluation(None, f'Not evaluated: {error}.')
    return Evaluation(
        findings,
        f'{Path(checkpoint).name} on {len(validation.indices)} of {len(validation.dataset)} '
        'validation images',
    )
