"""Write checkpoints of tensors and class names: PyTorch, safetensors and NumPy files."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from mmvmlp.output_files import check_file_can_be_written, write_atomically

SUFFIXES = ('.pth', '.safetensors', '.npz')


def check_checkpoint_can_be_written(file: Path, overwrite: bool) -> None:
    """Check the name of a checkpoint before computing it.

    Raises:
        ValueError: If its suffix is of none of the formats.
        FileExistsError: If the file exists and is not to be overwritten.
        OSError: If it cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise ValueError(f'file {str(file)!r}: accepted suffixes are {", ".join(SUFFIXES)}')
    if file.is_file() and not overwrite:
        raise FileExistsError(f'file {str(file)!r} exists; --overwrite replaces it')
    check_file_can_be_written(file, 'file')


def write_checkpoint(
    file: Path, tensors: Mapping[str, torch.Tensor], dataset_meta: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint atomically, in the format of its suffix.

    Args:
        file: Its folder is created.
        tensors: Tensors by key.
        dataset_meta: Class names and colours, for :func:`~mmvmlp.checkpoints.read_checkpoint`.

    Raises:
        ValueError: If the suffix is unknown, or the format does not take a tensor or the names.
        OSError: If the file cannot be written.
    """
    contents = checkpoint_bytes(file.suffix, tensors, dataset_meta)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, contents)


def checkpoint_bytes(
    suffix: str, tensors: Mapping[str, torch.Tensor], dataset_meta: Mapping[str, Any] | None = None
) -> bytes:
    """Return the contents of a checkpoint file; see :func:`write_checkpoint`."""
    # Views would be written with all of their storage, and safetensors takes no shared one.
    copies = {
        key: tensor.detach().clone(memory_format=torch.contiguous_format)
        for key, tensor in tensors.items()
    }
    if suffix == '.safetensors':
        named = {'dataset_meta': json.dumps(dataset_meta)} if dataset_meta else {}
        # Other libraries look for the format here.
        return save(copies, metadata={'format': 'pt', **named})
    stream = io.BytesIO()
    if suffix == '.pth':
        meta = {'meta': {'dataset_meta': dict(dataset_meta)}} if dataset_meta else {}
        torch.save({'state_dict': copies, **meta}, stream)
        return stream.getvalue()
    if suffix != '.npz':
        raise ValueError(f'suffix {suffix!r}: accepted are {", ".join(SUFFIXES)}')
    if dataset_meta:
        raise ValueError("suffix '.npz': a NumPy file has no place for class names")
    if unknown := [key for key, tensor in copies.items() if tensor.dtype is torch.bfloat16]:
        raise ValueError(f"suffix '.npz': NumPy has no bfloat16, as {unknown[0]!r} is")
    arrays: dict[str, Any] = {key: tensor.numpy() for key, tensor in copies.items()}
    np.savez(stream, **arrays)
    return stream.getvalue()
