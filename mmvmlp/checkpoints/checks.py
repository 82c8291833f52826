"""Refuse checkpoints that a model would load only in part, before anything is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import nn

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.backbones.pretrained import is_pretrained
from mmvmlp.checkpoints.loading import official_tensors
from mmvmlp.checkpoints.reading import CheckpointError, extract_state_dict
from mmvmlp.checkpoints.report import CheckpointReport, compare, refuse_if_different


def check_trained_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint that does not match a whole trained model.

    Args:
        model: The model to test, use or resume.
        contents: From :func:`read_checkpoint`.
        origin: File or URL to name in errors.

    Raises:
        CheckpointError: If a tensor is missing or unexpected, or differs in shape or kind.
    """
    report = _compare_whole(model, extract_state_dict(contents, origin), origin)
    refuse_if_different(report, model, 'is it for another config?')


def check_starting_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint for starting training unless it covers the backbone.

    Heads may differ, for example in the number of classes. Models with backbones of other packages
    are not checked, since some convert checkpoints on loading.

    Args:
        model: The model to train.
        contents: From :func:`read_checkpoint`.
        origin: File or URL to name in errors.

    Raises:
        CheckpointError: If a tensor of ``model.backbone`` is missing, or differs in shape or kind.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    report = _compare_whole(model, extract_state_dict(contents, origin), origin)
    of_backbone = [
        key
        for key in (*report.missing, *(key for key, *_ in report.mismatched))
        if key.startswith('backbone.')
    ]
    if of_backbone:
        raise CheckpointError(
            f'the checkpoint does not fit the backbone of this {type(model).__name__}; is it for '
            'another config? Set published weights of a backbone with '
            'model.backbone.init_cfg=dict(type="mmvmlp.OfficialPretrained", checkpoint=...).\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def check_pretrained_modules(model: nn.Module) -> None:
    """Refuse checkpoints in ``init_cfg=dict(type='Pretrained', ...)`` that do not fit.

    mmengine loads the tensors that happen to fit and logs the rest. Our backbones check their own
    checkpoints; this checks those of the other modules of a model with such a backbone.

    Args:
        model: A model before its weights are initialised.

    Raises:
        FileNotFoundError: If a file does not exist.
        CheckpointError: If a checkpoint cannot be read or does not cover its module.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    for name, module in model.named_modules():
        init_cfg = getattr(module, 'init_cfg', None)
        # Modules with their own `init_weights` may convert the checkpoint.
        if not init_cfg or type(module).init_weights is not BaseModule.init_weights:
            continue
        for entry in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
            if is_pretrained(entry):
                _check_pretrained_module(name, module, entry)


def _check_pretrained_module(name: str, module: nn.Module, init_cfg: Mapping[str, Any]) -> None:
    file = init_cfg['checkpoint']
    contents = CheckpointLoader.load_checkpoint(file, 'cpu')
    if not name:
        check_starting_checkpoint(module, contents, file)
        return
    prefix = init_cfg.get('prefix') or ''
    prefix = f'{prefix.removesuffix(".")}.' if prefix else ''
    tensors = {
        key.removeprefix(prefix): tensor
        for key, tensor in extract_state_dict(contents, file).items()
        if key.startswith(prefix)
    }
    report = _compare_unconverted(module, tensors, file)
    if report.missing or report.mismatched:
        raise CheckpointError(
            f'the checkpoint in model.{name}.init_cfg does not fit this {type(module).__name__}\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def _compare_whole(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str | Path
) -> CheckpointReport:
    """Compare a whole model's tensors as it loads them: its backbone converts official ones."""
    backbone: Any = getattr(model, 'backbone', None)
    ours = isinstance(backbone, VisionMLP)
    official = backbone.official_format(tensors, 'backbone.') if ours else None
    if official is None:
        return _compare_unconverted(model, tensors, origin)
    expected = model.state_dict()
    named = official_tensors(official, tensors, backbone, 'backbone.', expected)
    return compare(f'{official.name} {str(origin)!r}', named, expected)


def _compare_unconverted(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str | Path
) -> CheckpointReport:
    return compare(
        source=f'checkpoint {str(origin)!r}',
        named={key: (key, tensor) for key, tensor in tensors.items()},
        expected=model.state_dict(),
    )
