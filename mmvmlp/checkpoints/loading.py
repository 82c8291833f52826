"""Checkpoints: read safely, recognise, convert, load, report.

A checkpoint either covers the backbone it is loaded into or is refused with the first keys that
do not fit; a partial load is never quiet.
"""

import argparse
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import update_init_info
from safetensors.torch import load_file
from torch import nn

from mmvmlp.backbones.base import NUM_LEVELS, VisionMLP, find_backbone, registered_families
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.registry import WEIGHT_INITIALIZERS

NESTING_KEYS = ('state_dict', 'model', 'module')
"""Where published files keep the state dict, in the order in which they are tried."""

SHOWN_KEYS = 5


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit the model it is meant for."""


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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file without running anything that is pickled in it.

    Besides tensors and plain containers only the records that training scripts leave beside them
    are read: ``argparse.Namespace``, NumPy arrays, mmengine's log history.

    Args:
        path: A file of PyTorch, of safetensors (``.safetensors``, as timm publishes its weights)
            or of NumPy (``.npz``, as Google does); or an http(s) address, which is downloaded to
            PyTorch's hub folder.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, corrupt, or holds anything else.
    """
    is_address = urlparse(str(path)).scheme in ('http', 'https')
    if not is_address and not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {str(path)!r}: there is no such file')
    try:
        with _records_of_training_scripts():
            file = _downloaded(str(path)) if is_address else Path(path)
            if file.suffix == '.npz':
                contents = _numpy_contents(file)
            elif file.suffix == '.safetensors':
                contents = load_file(file)
            else:
                contents = torch.load(file, map_location='cpu', weights_only=True)
    except (URLError, TimeoutError) as error:
        raise CheckpointError(f'checkpoint {str(path)!r} cannot be downloaded: {error}') from error
    except Exception as error:
        # torch.load raises whatever zip, pickle or the allow-list do.
        raise CheckpointError(
            f'checkpoint {str(path)!r} cannot be read; it is truncated, corrupt, '
            f'or holds objects other than weights ({type(error).__name__}: {_reason(error)})'
        ) from error
    if not isinstance(contents, dict):
        raise CheckpointError(
            f'checkpoint {str(path)!r} holds a {type(contents).__name__}, not a dict of tensors'
        )
    return contents


def _downloaded(address: str) -> Path:
    """Return where an address's file is in PyTorch's hub folder, and put it there if it is not."""
    file = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(address).path).name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file))
    return file


def _numpy_contents(file: Path) -> dict[str, torch.Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@contextmanager
def _records_of_training_scripts() -> Iterator[None]:
    """Let `weights_only` pass what training scripts leave in a checkpoint, for one read."""
    reconstructors: list[Any] = [value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    others = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(
        [
            argparse.Namespace,
            HistoryBuffer,
            _statistics_method,
            np.ndarray,
            np.dtype,
            *reconstructors,
            *{type(np.dtype(code)) for code in '?bBhHiIlLqQefdSU'},
        ]
    )
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(others)


def _statistics_method(owner: object, name: str) -> Any:
    if owner is not HistoryBuffer or name not in ('current', 'max', 'mean', 'min'):
        raise UnpicklingError(f'attribute {name!r} of {owner!r}')
    return getattr(owner, name)


# mmengine's log history is pickled with references to its own methods, by way of `getattr`. The
# allow-list goes by name; the real one would open every attribute of every class on it.
_statistics_method.__module__, _statistics_method.__name__ = 'builtins', 'getattr'
_statistics_method.__qualname__ = 'getattr'


def _reason(error: Exception) -> str:
    """Return an error's first line, and the object that the allow-list refused if it was that."""
    refused = re.search(r'GLOBAL (\S+)', str(error))
    lines = str(error).strip().splitlines()
    return f'{refused[1]} is refused' if refused else lines[0] if lines else 'no reason given'


def extract_state_dict(contents: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, wherever it nests them.

    Args:
        contents: A state dict, or a dict that has one under ``state_dict``, ``model`` or
            ``module``. A prefix ``module.`` that a data-parallel wrapper left is removed.

    Raises:
        CheckpointError: If there are no tensors.
    """
    state_dict: Any = contents
    while True:
        nested = next(
            (key for key in NESTING_KEYS if isinstance(state_dict.get(key), Mapping)), None
        )
        if nested is None:
            break
        state_dict = state_dict[nested]
    tensors = {
        str(key): value for key, value in state_dict.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f'no tensors in the checkpoint; its keys are {list(contents)[:SHOWN_KEYS]}, looked in '
            f'it and under {", ".join(NESTING_KEYS)}'
        )
    if all(key.startswith('module.') for key in tensors):
        tensors = {key.removeprefix('module.'): value for key, value in tensors.items()}
    return tensors


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
    tensors = extract_state_dict(contents)
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


def check_trained_checkpoint(model: nn.Module, checkpoint: str | Path) -> None:
    """Refuse a checkpoint of a whole trained model unless it has every one of its tensors.

    Args:
        model: The model that is to be tested or used.
        checkpoint: A file or an http(s) address.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read, lacks a tensor of the model, has one of another
            shape, or one that the model does not have.
    """
    tensors = extract_state_dict(read_checkpoint(checkpoint))
    report = _compare(
        source=f'checkpoint {str(checkpoint)!r}',
        named={key: (key, tensor) for key, tensor in tensors.items()},
        expected=model.state_dict(),
    )
    if report.missing or report.mismatched or report.unexpected:
        raise CheckpointError(
            f'the checkpoint is not of this {type(model).__name__}; is it of another config?\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
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
