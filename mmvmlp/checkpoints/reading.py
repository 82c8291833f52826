"""Reading of checkpoint files: tensors and plain records only, never code.

Whoever names a checkpoint need not trust it. What its pickle may contain is an allow-list, what its
records say is never opened or executed, and tensors that no network can use are refused by name.
"""

import argparse
import hashlib
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
from safetensors.torch import load_file

NESTING_KEYS = ('state_dict', 'model', 'module')
"""Where published files keep the state dict, in the order in which they are tried."""

SHOWN_KEYS = 5

OLDEST_SAFE_TORCH = '2.10'
"""Older versions run or corrupt on crafted files (CVE-2025-32434, CVE-2026-24747)."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit the model it is meant for."""


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint file without running anything that is pickled in it.

    Besides tensors and plain containers only the records that training scripts leave beside them
    are read: ``argparse.Namespace``, NumPy arrays, mmengine's log history.

    Args:
        path: A file of PyTorch, of safetensors (``.safetensors``, as timm publishes its weights)
            or of NumPy (``.npz``, as Google does); or an http(s) address, which is downloaded to
            PyTorch's hub folder.
        map_location: The device for the tensors of a PyTorch file, as in ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated or corrupt, holds anything else, or names a file
            where its class names should be; or if this torch cannot read PyTorch files safely.
    """
    is_address = urlparse(str(path)).scheme in ('http', 'https')
    if not is_address and not Path(path).expanduser().is_file():
        raise FileNotFoundError(f'checkpoint {str(path)!r}: there is no such file')
    try:
        file = _downloaded(str(path)) if is_address else Path(path).expanduser()
    except (URLError, TimeoutError) as error:
        raise CheckpointError(f'checkpoint {str(path)!r} cannot be downloaded: {error}') from error
    if file.suffix not in ('.npz', '.safetensors') and torch.__version__ < OLDEST_SAFE_TORCH:
        raise CheckpointError(
            f'checkpoint {str(path)!r}: torch {torch.__version__} can run code from such a file; '
            f'accepted are .safetensors and .npz files, or torch {OLDEST_SAFE_TORCH} and newer'
        )
    try:
        if file.suffix == '.npz':
            contents: Any = _numpy_contents(file)
        elif file.suffix == '.safetensors':
            contents = load_file(file)
        else:
            with torch.serialization.safe_globals(_records_of_training_scripts()):
                contents = torch.load(file, map_location=map_location, weights_only=True)
    except Exception as error:
        # torch.load raises whatever zip, pickle or the allow-list do.
        raise CheckpointError(
            f'checkpoint {str(path)!r} cannot be read; it is truncated, corrupt, '
            f'or holds objects other than weights{_reason(error)}'
        ) from error
    if not isinstance(contents, dict):
        raise CheckpointError(
            f'checkpoint {str(path)!r} holds a {type(contents).__name__}, not a dict of tensors'
        )
    _refuse_files_of_class_names(contents, str(path))
    return contents


def _downloaded(address: str) -> Path:
    """Return where an address's file is in PyTorch's hub folder, and put it there if it is not."""
    name = Path(urlparse(address).path)
    # Different repositories publish different files of one name.
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    file = Path(torch.hub.get_dir()) / 'checkpoints' / f'{name.stem}-{key}{name.suffix}'
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file))
    return file


def _numpy_contents(file: Path) -> dict[str, torch.Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def _records_of_training_scripts() -> list[Any]:
    """Return what `weights_only` lets pass besides tensors and plain containers."""
    # NumPy 2 renamed the module in which these two are.
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


# mmengine's log history is pickled with references to its own methods, by way of `getattr`. The
# allow-list goes by name; the real one would open every attribute of every class on it.
_statistics_method.__module__, _statistics_method.__name__ = 'builtins', 'getattr'
_statistics_method.__qualname__ = 'getattr'


def _reason(error: Exception) -> str:
    """Return what the allow-list refused, or an error's first line, in brackets.

    The first line of torch's own message recommends to read the file without the allow-list.
    """
    text = str(error).strip()
    if refused := re.search(r'GLOBAL (\S+)', text):
        return f' ({refused[1]} is refused)'
    if isinstance(error, (KeyError, UnpicklingError)) or not text:
        # Numbers of the pickle format, and advice.
        return ''
    return f' ({type(error).__name__}: {text.splitlines()[0]})'


def _refuse_files_of_class_names(contents: Mapping[str, Any], origin: str) -> None:
    """Refuse class names that are a string: mmengine and older scripts open it as a file."""
    meta = contents.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    dataset_meta = meta.get('dataset_meta')
    for record in (meta, dataset_meta if isinstance(dataset_meta, Mapping) else {}):
        for key, value in record.items():
            if str(key).lower() == 'classes' and isinstance(value, str):
                raise CheckpointError(
                    f'checkpoint {origin!r} has {key}={value!r} in its records, which names a '
                    'file; accepted is a list of class names'
                )


def extract_state_dict(
    contents: Mapping[str, Any], origin: str | Path | None = None
) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, wherever it nests them.

    Args:
        contents: A state dict, or a dict that has one under ``state_dict``, ``model`` or
            ``module``. A prefix ``module.`` that a data-parallel wrapper left is removed.
        origin: The file or address that errors name.

    Raises:
        CheckpointError: If there are no tensors, if the checkpoint is nested in itself, or if a
            tensor has values that are not finite or is not an ordinary dense one.
    """
    name = 'the checkpoint' if origin is None else f'checkpoint {str(origin)!r}'
    state_dict: Any = contents
    levels = {id(contents)}
    while nested := [key for key in NESTING_KEYS if isinstance(state_dict.get(key), Mapping)]:
        state_dict = state_dict[nested[0]]
        if id(state_dict) in levels:
            raise CheckpointError(f'{name} is nested in itself, under {nested[0]!r}')
        levels.add(id(state_dict))
    tensors = {
        str(key): value for key, value in state_dict.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f'{name} has no tensors; its keys are {list(contents)[:SHOWN_KEYS]}, looked in it and '
            f'under {", ".join(NESTING_KEYS)}'
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
        return f'is {kind}; accepted are ordinary dense tensors'
    return None if tensor.isfinite().all() else 'has values that are not finite'
