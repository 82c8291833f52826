"""Checkpoints that go into a model: recognised, converted, loaded whole, and reported.

A checkpoint either covers the backbone it is loaded into or is refused with the first keys that
do not fit; there is no silent partial load.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from mmengine.runner import CheckpointLoader
from torch import nn

from mmvmlp.backbones.base import (
    NUM_LEVELS,
    VisionMLP,
    find_backbone,
    registered_families,
)
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.backbones.pretrained import is_pretrained
from mmvmlp.checkpoints.reading import (
    SHOWN_KEYS,
    CheckpointError,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.registry import WEIGHT_INITIALIZERS


@dataclass(frozen=True)
class CheckpointReport:
    """What became of each key of a checkpoint and of a model.

    Attributes:
        source: The format that was recognised, and the file if there was one.
        matched: The model's keys that were loaded.
        missing: The model's keys that the checkpoint does not have.
        unexpected: The checkpoint's own keys that the model has no place for.
        mismatched: The model's keys whose tensor has another shape, with that shape and the
            model's.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __str__(self) -> str:
        """Return one line a kind, with the first keys of each."""
        shapes = [f'{key} {theirs} (model: {ours})' for key, theirs, ours in self.mismatched]
        lines = [f'{self.source}: {len(self.matched)} tensors loaded']
        for kind, keys in (
            ('missing in the checkpoint', self.missing),
            ('unexpected in the checkpoint', self.unexpected),
            ('of another shape', shapes),
        ):
            if keys:
                more = f', ... ({len(keys)} in all)' if len(keys) > SHOWN_KEYS else ''
                lines.append(f'  {kind}: {", ".join(keys[:SHOWN_KEYS])}{more}')
        return '\n'.join(lines)


def load_checkpoint(
    model: nn.Module, checkpoint: str | Path | Mapping[str, Any]
) -> CheckpointReport:
    """Load a checkpoint into a backbone, or into a model that has one.

    Understood are our own checkpoints, of a backbone or of any model with one, and the published
    ones of the backbone's family (``official_formats``). A classifier also takes over the
    published head if it has as many classes. The model is changed only if all fits.

    Args:
        model: A :class:`~mmvmlp.VisionMLP`, or a classifier, detector or segmentor whose
            ``backbone`` is one.
        checkpoint: A file, an http(s) address, or what is in such a file.

    Returns:
        What matched, what was missing, unexpected or of another shape; it is logged, too.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read, is of no known format or of another family, does
            not cover the backbone (heads and norms of emitted levels aside), or has blocks that
            the backbone does not have.
    """
    backbone, prefix = find_backbone(model)
    origin = '' if isinstance(checkpoint, Mapping) else f' {str(checkpoint)!r}'
    contents = checkpoint if isinstance(checkpoint, Mapping) else read_checkpoint(checkpoint)
    tensors = extract_state_dict(contents, None if isinstance(checkpoint, Mapping) else checkpoint)
    official = _recognise(tensors, backbone, origin)
    expected = model.state_dict()
    if official is None:
        named = _our_tensors(tensors, prefix)
    else:
        named = _official_tensors(official, tensors, backbone.depths, prefix, expected)
    report = _compare(
        source=('mmvmlp checkpoint' if official is None else official.name) + origin,
        named=named,
        expected=expected,
    )
    _refuse_if_partial(report, backbone, prefix, named)
    matched = set(report.matched)
    with torch.no_grad():
        for key, (_, tensor) in named.items():
            if key in matched:
                expected[key].copy_(tensor)
    complete = not (report.missing or report.mismatched)
    print_log(str(report), logger='current', level=logging.INFO if complete else logging.WARNING)
    return report


def _recognise(
    tensors: Mapping[str, torch.Tensor], backbone: VisionMLP, origin: str
) -> OfficialFormat | None:
    if 'stem.conv.weight' in tensors or 'backbone.stem.conv.weight' in tensors:
        return None
    for family in (type(backbone), *registered_families()):
        for official in family.official_formats:
            if not {official.signature, f'backbone.{official.signature}'} & tensors.keys():
                continue
            if family is type(backbone):
                return official
            raise CheckpointError(
                f'checkpoint{origin} is of another network: {official.name}; the model is a '
                f'{type(backbone).__name__}'
            )
    known = ', '.join(official.name for official in type(backbone).official_formats)
    raise CheckpointError(
        f'checkpoint{origin} is of another network: its first keys are '
        f"{list(tensors)[:SHOWN_KEYS]}; a {type(backbone).__name__} takes mmvmlp's own checkpoints"
        + (f' and {known}' if known else '')
    )


Named = dict[str, tuple[str, torch.Tensor]]
"""The model's key, with the checkpoint's own key and the tensor in the model's layout."""


def _our_tensors(tensors: Mapping[str, torch.Tensor], prefix: str) -> Named:
    whole_model = any(key.startswith('backbone.') for key in tensors)
    if not whole_model:
        return {prefix + key: (key, tensor) for key, tensor in tensors.items()}
    if prefix:
        return {key: (key, tensor) for key, tensor in tensors.items()}
    return {
        key.removeprefix('backbone.'): (key, tensor)
        for key, tensor in tensors.items()
        if key.startswith('backbone.')
    }


def _official_tensors(
    official: OfficialFormat,
    tensors: Mapping[str, torch.Tensor],
    depths: Sequence[int],
    prefix: str,
    expected: Mapping[str, torch.Tensor],
) -> Named:
    named: Named = {}
    # Classifier keys come last: what stands in their place already is kept.
    for key in sorted(tensors, key=lambda key: bool(re.search(official.classifier_keys, key))):
        name = official.our_name(key.removeprefix('backbone.'), depths)
        full = name if name.startswith('head.') else prefix + name
        if full in named:
            full = key
        tensor = tensors[key]
        if full in expected:
            tensor = official.our_tensor(name, tensor, expected[full].shape)
        named[full] = (key, tensor)
    return named


def _compare(source: str, named: Named, expected: Mapping[str, torch.Tensor]) -> CheckpointReport:
    for key, (own, tensor) in named.items():
        if key in expected and tensor.is_floating_point() != expected[key].is_floating_point():
            raise CheckpointError(
                f"{source}: tensor {own!r} is {tensor.dtype}, the model's is {expected[key].dtype}"
            )
    fits = {
        key: key in expected and tensor.shape == expected[key].shape
        for key, (_, tensor) in named.items()
    }
    return CheckpointReport(
        source=source,
        matched=tuple(key for key in expected if fits.get(key)),
        missing=tuple(key for key in expected if key not in named),
        unexpected=tuple(own for key, (own, _) in named.items() if key not in expected),
        mismatched=tuple(
            (key, tuple(tensor.shape), tuple(expected[key].shape))
            for key, (_, tensor) in named.items()
            if key in expected and not fits[key]
        ),
    )


def _refuse_if_partial(
    report: CheckpointReport, backbone: VisionMLP, prefix: str, named: Named
) -> None:
    """Raise if a part of the backbone would keep its initial values, or lacks layers it needs."""
    level_norms = tuple(f'{prefix}norm{level}.' for level in range(NUM_LEVELS))
    own_layers = (
        f'{prefix}stem.',
        *(f'{prefix}stages.{stage}.' for stage in range(backbone.num_stages)),
    )
    missing = [
        key
        for key in report.missing
        if key.startswith(prefix)
        and not key.startswith(level_norms)
        and not key.endswith('.num_batches_tracked')
    ]
    mismatched = [entry for entry in report.mismatched if entry[0].startswith(prefix)]
    unexpected_keys = set(report.unexpected)
    surplus = [
        own
        for key, (own, _) in named.items()
        if own in unexpected_keys and key.startswith(own_layers)
    ]
    if missing or mismatched or surplus:
        misfit = CheckpointReport(
            report.source, report.matched, tuple(missing), tuple(surplus), tuple(mismatched)
        )
        raise CheckpointError(
            f'the checkpoint does not fit this {type(backbone).__name__}; nothing was loaded. '
            'Is it of another variant?\n'
            f'{misfit}'.replace('tensors loaded', 'tensors fit')
        )


def check_trained_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint of a whole trained model unless it has every one of its tensors.

    Args:
        model: The model that is to be tested, used, or trained further.
        contents: From :func:`read_checkpoint`.
        origin: The file or address that errors name.

    Raises:
        CheckpointError: If the checkpoint lacks a tensor of the model, has one of another shape or
            kind, or one that the model does not have.
    """
    report = _compare_as_it_is(model, extract_state_dict(contents, origin), origin)
    if report.missing or report.mismatched or report.unexpected:
        raise CheckpointError(
            f'the checkpoint is not of this {type(model).__name__}; is it of another config?\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def check_starting_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint that training is to start from unless it covers the backbone.

    A head of other classes may differ, as when a detector is trained on new data. Models with
    other backbones are left alone: some convert checkpoints as they load them.

    Args:
        model: The model that is to be trained.
        contents: From :func:`read_checkpoint`.
        origin: The file or address that errors name.

    Raises:
        CheckpointError: If a tensor of ``model.backbone`` is missing or of another shape or kind.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    report = _compare_as_it_is(model, extract_state_dict(contents, origin), origin)
    of_backbone = [
        key
        for key in (*report.missing, *(key for key, *_ in report.mismatched))
        if key.startswith('backbone.')
    ]
    if of_backbone:
        raise CheckpointError(
            f'the checkpoint does not fit the backbone of this {type(model).__name__}; is it of '
            'another config? Published weights of a backbone go into '
            'model.backbone.init_cfg=dict(type="mmvmlp.OfficialPretrained", checkpoint=...).\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def check_pretrained_modules(model: nn.Module) -> None:
    """Refuse checkpoints in ``init_cfg=dict(type='Pretrained', ...)`` that do not fit.

    mmengine loads what happens to fit and logs the rest. Backbones of this package refuse the rest
    themselves; this looks at the other modules of a model that has one.

    Args:
        model: A model whose weights are not initialised yet.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read, or does not cover the module that names it.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    for name, module in model.named_modules():
        init_cfg = getattr(module, 'init_cfg', None)
        # Others look for the checkpoint in `init_cfg` and convert it in their own way.
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
    report = _compare_as_it_is(module, tensors, file)
    if report.missing or report.mismatched:
        raise CheckpointError(
            f'the checkpoint in model.{name}.init_cfg does not fit that {type(module).__name__}\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def _compare_as_it_is(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str | Path
) -> CheckpointReport:
    return _compare(
        source=f'checkpoint {str(origin)!r}',
        named={key: (key, tensor) for key, tensor in tensors.items()},
        expected=model.state_dict(),
    )


@WEIGHT_INITIALIZERS.register_module()
class OfficialPretrained:
    """Initialises a backbone from a published checkpoint or one of ours, or raises.

    For configs: ``init_cfg=dict(type='mmvmlp.OfficialPretrained', checkpoint='...')``. Unlike
    mmengine's ``Pretrained`` it refuses what does not fit; see :func:`load_checkpoint`.

    Args:
        checkpoint: A file or an http(s) address.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into a module, and note it in mmengine's record of the weights."""
        load_checkpoint(module, self.checkpoint)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'OfficialPretrained: loaded {self.checkpoint}')
