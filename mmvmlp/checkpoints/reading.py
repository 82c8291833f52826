"""Read checkpoint files: tensors and plain records only, never code.

Checkpoints need not be trusted: an allow-list limits the pickle's contents, its records are never
opened as files or executed, and unusable tensors are refused by name.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from safetensors.torch import load_file

from mmvmlp.checkpoints.durable import damage
from mmvmlp.checkpoints.screening import (
    START_OF_ZIP,
    RefusedTypeError,
    ScreeningError,
    check_torch_file,
    check_zip,
)
from mmvmlp.checkpoints.trust import is_trusted

NESTING_KEYS = ('state_dict', 'model', 'module')
"""Keys of the state dict in published files, in the order they are tried."""

EMA_KEYS = ('state_dict_ema', 'model_ema')
"""Keys of the exponential moving average of the weights, in files of timm's and DeiT's scripts."""

SHOWN_KEYS = 5

OLDEST_SAFE_TORCH = '2.10'
"""Crafted files run code or corrupt memory in older ones (CVE-2025-32434, CVE-2026-24747)."""


class CheckpointError(ValueError):
    """Error for a checkpoint that cannot be read or does not fit the model."""


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint file without running pickled code.

    Accepted are tensors, plain containers, and common records of training scripts:
    ``argparse.Namespace``, NumPy arrays, mmengine's log history. Files of
    :func:`~mmvmlp.checkpoints.trusted_checkpoints` are unpickled fully.

    Args:
        path: A PyTorch, safetensors (``.safetensors``) or NumPy (``.npz``) file, or an http(s)
            URL, which is downloaded to PyTorch's hub folder.
        map_location: Device for the tensors of a PyTorch file, as in ``torch.load``.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If the file is truncated, corrupt or not as it was saved, has other
            contents, takes more memory than :data:`~mmvmlp.checkpoints.screening.MEMORY_PER_BYTE`
            allows, or has anything else in place of class names; or if this torch cannot read
            PyTorch files safely.
    """
    is_address = urlparse(str(path)).scheme in ('http', 'https')
    if not is_address and not Path(path).expanduser().is_file():
        raise FileNotFoundError(f'checkpoint {str(path)!r} does not exist')
    try:
        file = _downloaded(str(path)) if is_address else Path(path).expanduser()
    except (URLError, TimeoutError) as error:
        raise CheckpointError(f'checkpoint {str(path)!r} cannot be downloaded: {error}') from error
    trusted = not is_address and is_trusted(file)
    safe_formats = ('.npz', '.safetensors')
    if file.suffix not in safe_formats and not trusted and torch.__version__ < OLDEST_SAFE_TORCH:
        raise CheckpointError(
            f'checkpoint {str(path)!r}: torch {torch.__version__} may run code from this file; '
            f'accepted are .safetensors and .npz files, or torch {OLDEST_SAFE_TORCH} and newer'
        )
    try:
        if file.suffix == '.npz':
            check_zip(file)
            contents: Any = _numpy_contents(file)
        elif file.suffix == '.safetensors':
            contents = _safetensors_contents(file)
        else:
            contents = _torch_contents(file, map_location, trusted)
    except RefusedTypeError as error:
        raise CheckpointError(
            f'checkpoint {str(path)!r} contains objects other than weights ({error}); '
            '--trust-checkpoint reads a file of your own, and runs what it contains'
        ) from error
    except ScreeningError as error:
        raise CheckpointError(f'checkpoint {str(path)!r} is refused: {error}') from error
    except Exception as error:
        # torch.load raises errors of zip, pickle and the allow-list.
        raise CheckpointError(
            f'checkpoint {str(path)!r} cannot be read; it is truncated, corrupt, '
            f'or contains objects other than weights{_reason(error)}'
        ) from error
    if not isinstance(contents, dict):
        raise CheckpointError(
            f'checkpoint {str(path)!r} contains a {type(contents).__name__}, not a dict of tensors'
        )
    _check_records(contents, str(path))
    return contents


def _torch_contents(file: Path, map_location: Any, trusted: bool) -> Any:
    with file.open('rb') as stream:
        is_zip = stream.read(len(START_OF_ZIP)) == START_OF_ZIP
    if is_zip and not trusted:
        check_zip(file)
    # Files of PyTorch before 1.6 are no zip archives, and have nothing to compare.
    if is_zip and (found := damage(file)):
        raise ScreeningError(found)
    if trusted:
        return torch.load(file, map_location=map_location, weights_only=False)
    records = _records_of_training_scripts()
    check_torch_file(file, [_full_name(record) for record in records])
    with torch.serialization.safe_globals(records):
        return torch.load(file, map_location=map_location, weights_only=True)


def _full_name(record: Any) -> str:
    return record[1] if isinstance(record, tuple) else f'{record.__module__}.{record.__qualname__}'


def _downloaded(address: str) -> Path:
    """Download a URL to PyTorch's hub folder unless it is there, and return the file."""
    name = Path(urlparse(address).path)
    # Different repositories publish different files with the same name.
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    file = Path(torch.hub.get_dir()) / 'checkpoints' / f'{name.stem}-{key}{name.suffix}'
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file))
    return file


def _numpy_contents(file: Path) -> dict[str, torch.Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def _safetensors_contents(file: Path) -> dict[str, Any]:
    """Return the tensors, and the class names of a file that has them as mmengine's do."""
    with safe_open(file, framework='pt') as opened:
        metadata = opened.metadata() or {}
    tensors = load_file(file)
    if 'dataset_meta' not in metadata:
        return tensors
    # Metadata of safetensors are text.
    dataset_meta = json.loads(metadata['dataset_meta'])
    if not isinstance(dataset_meta, dict):
        raise ValueError(f'dataset_meta={dataset_meta!r} in its metadata is not an object')
    return {'meta': {**metadata, 'dataset_meta': dataset_meta}, 'state_dict': tensors}


def _records_of_training_scripts() -> list[Any]:
    """Return the types that `weights_only` accepts besides tensors and plain containers."""
    # NumPy 2 renamed the module of these two.
    functions: list[Any] = [value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    reconstructors = [
        (function, f'numpy.{module}.multiarray.{function.__name__}')
        for function in functions
        for module in ('core', '_core')
    ]
    return [
        argparse.Namespace,
        HistoryBuffer,
        _statistics_method,
        np.ndarray,
        np.dtype,
        *reconstructors,
        *{type(np.dtype(code)) for code in '?bBhHiIlLqQefdSU'},
    ]


def _statistics_method(owner: object, name: str) -> Any:
    if owner is not HistoryBuffer or name not in ('current', 'max', 'mean', 'min'):
        raise UnpicklingError(f'attribute {name!r} of {owner!r}')
    return getattr(owner, name)


# mmengine's log history is pickled with references to its methods, through `getattr`. The
# allow-list matches by name; the real `getattr` would give access to all attributes.
_statistics_method.__module__, _statistics_method.__name__ = 'builtins', 'getattr'
_statistics_method.__qualname__ = 'getattr'


def _reason(error: Exception) -> str:
    """Return the object that the allow-list refused, or the error's first line, in brackets.

    The first line of torch's own message recommends reading the file without the allow-list.
    """
    text = str(error).strip()
    if refused := re.search(r'GLOBAL (\S+)', text):
        return f' ({refused[1]} is refused)'
    if isinstance(error, (KeyError, UnpicklingError)) or not text:
        # These messages are pickle opcodes and torch's advice.
        return ''
    return f' ({type(error).__name__}: {text.splitlines()[0]})'


def _check_records(contents: Mapping[str, Any], origin: str) -> None:
    """Refuse records that are no mappings, and class names that are no list of names.

    mmengine and older scripts open a string as a file.
    """
    meta = contents.get('meta')
    dataset_meta = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    for name, record in (('meta', meta), ('meta.dataset_meta', dataset_meta)):
        if record is None:
            continue
        if not isinstance(record, Mapping):
            raise CheckpointError(
                f'checkpoint {origin!r}: {name} is of type {type(record).__name__}; a dict is '
                'accepted'
            )
        for key, value in record.items():
            if str(key).lower() == 'classes' and not _are_names(value):
                shown = repr(value) if isinstance(value, str) else f'type {type(value).__name__}'
                raise CheckpointError(
                    f'checkpoint {origin!r} has {shown} in place of class names; a list of names '
                    'is accepted'
                )


def _are_names(value: Any) -> bool:
    return value is None or (
        isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    )


def class_names(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's class names and colours, as mmengine names them; empty if none."""
    meta = contents.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    # Files of mmdet 2 and mmseg 0 have them beside their other records.
    older = {key.lower(): meta[key] for key in ('CLASSES', 'PALETTE') if key in meta}
    named = meta.get('dataset_meta') or older
    return dict(named) if isinstance(named, Mapping) else {}


def extract_state_dict(
    contents: Mapping[str, Any], origin: str | Path | None = None, use_ema: bool = False
) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, without the prefix ``module.`` of data parallelism.

    Args:
        contents: A state dict, or a dict with one under ``state_dict``, ``model`` or ``module``.
        origin: File or URL to name in errors.
        use_ema: True to return the exponential moving average of the weights instead, which timm's
            script saves under ``state_dict_ema``.

    Raises:
        CheckpointError: If there are no tensors, or no moving average of them if asked for; the
            checkpoint contains itself; or a tensor is not finite or not dense.
    """
    name = 'the checkpoint' if origin is None else f'checkpoint {str(origin)!r}'
    state_dict: Any = contents
    if use_ema:
        averages = [key for key in EMA_KEYS if isinstance(contents.get(key), Mapping)]
        if not averages:
            raise CheckpointError(
                f'{name} has no moving average of the weights (use_ema=True), neither under '
                f'{" nor under ".join(EMA_KEYS)}; its keys are {list(contents)[:SHOWN_KEYS]}'
            )
        state_dict = contents[averages[0]]
    levels = {id(contents), id(state_dict)}
    while nested := [key for key in NESTING_KEYS if isinstance(state_dict.get(key), Mapping)]:
        state_dict = state_dict[nested[0]]
        if id(state_dict) in levels:
            raise CheckpointError(f'{name} contains itself under {nested[0]!r}')
        levels.add(id(state_dict))
    tensors = {
        str(key): value for key, value in state_dict.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f'{name} has no tensors, neither at its top level nor under '
            f'{", ".join(NESTING_KEYS)}; its keys are {list(contents)[:SHOWN_KEYS]}'
        )
    for key, tensor in tensors.items():
        if unusable := _unusable(tensor):
            raise CheckpointError(f'{name}: tensor {key!r} {unusable}')
    if all(key.startswith('module.') for key in tensors):
        tensors = {key.removeprefix('module.'): value for key, value in tensors.items()}
    return tensors


def _unusable(tensor: torch.Tensor) -> str | None:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = 'quantized' if tensor.is_quantized else 'meta' if tensor.is_meta else tensor.layout
        return f'is {kind}; dense tensors are accepted'
    return None if tensor.isfinite().all() else 'has values that are not finite'
