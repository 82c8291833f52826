"""Find published weights by name, and download them once.

Files are kept in one folder, under the names of :attr:`PublishedWeights.file_name`. Files that were
put there by hand are used as they are; those that were downloaded have their SHA-256 beside them,
and must match it from then on, also when they are downloaded again.
"""

import fnmatch
import hashlib
import os
import secrets
from http.client import HTTPException
from pathlib import Path

import torch

from mmvmlp.backbones.base import registered_families
from mmvmlp.backbones.names import canonical_name, suggestion
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.checkpoints.reading import CheckpointError, read_checkpoint
from mmvmlp.output_files import check_folder_can_be_written, write_atomically

FOLDER_VARIABLE = 'MMVMLP_WEIGHTS'
"""Environment variable with the folder of the files; by default in PyTorch's hub folder."""

MIRROR_VARIABLE = 'MMVMLP_WEIGHTS_MIRROR'
"""Environment variable with the URL of a folder of the files, in place of their addresses."""


def published_weights() -> dict[str, PublishedWeights]:
    """Return the published weights of all families by name."""
    return {
        weights.name: weights
        for family in registered_families()
        for weights in family.published_weights
    }


def list_weights(pattern: str = '*') -> list[str]:
    """List the names of all weights that were published.

    Args:
        pattern: Shell pattern for the names, such as ``'hire*'``.
    """
    released = [name for name, weights in published_weights().items() if weights.is_released]
    return fnmatch.filter(released, pattern)


def find_weights(name: str) -> PublishedWeights:
    """Return where published weights are, and what they hold.

    Args:
        name: One of :func:`list_weights`, the network in any spelling; or the file's address.

    Raises:
        ValueError: If there are no such weights.
    """
    known = published_weights()
    for weights in known.values():
        if name == weights.address:
            return weights
    model, _, tag = name.rpartition('.')
    models = {weights.model for weights in known.values()}
    canonical = f'{canonical_name(model, models)}.{tag}'
    if canonical not in known:
        raise ValueError(
            f'{name!r} is not the name of published weights{suggestion(name, known)}; '
            'mmvmlp.list_weights() lists them'
        )
    return known[canonical]


def checkpoint_file(checkpoint: str | Path) -> str | Path:
    """Return the file or URL of a checkpoint; published weights are downloaded the first time.

    Args:
        checkpoint: A file, a URL, or the name of published weights.

    Raises:
        FileNotFoundError: If it is none of these, or the file was never released.
        CheckpointError: If the file cannot be downloaded, or is not the one recorded.
        OSError: If it cannot be written.
    """
    if '://' in str(checkpoint) or Path(checkpoint).expanduser().is_file():
        return checkpoint
    missing = f'checkpoint {str(checkpoint)!r} does not exist'
    if Path(checkpoint).name != str(checkpoint):
        raise FileNotFoundError(missing)
    try:
        weights = find_weights(str(checkpoint))
    except ValueError as error:
        raise FileNotFoundError(f'{missing}; {error}') from error
    return weights_file(weights)


def weights_folder() -> Path:
    """Return the folder of published weights, which may be missing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder).expanduser() if folder else Path(torch.hub.get_dir()) / 'checkpoints/mmvmlp'


def weights_file(weights: PublishedWeights) -> Path:
    """Return the file of published weights, downloaded unless it is there.

    Raises:
        FileNotFoundError: If the file has no address and is not in the folder.
        CheckpointError: If it cannot be downloaded, cannot be read, or is not the one recorded.
        ImportError: If it is on the Hugging Face Hub and huggingface_hub is missing.
        OSError: If it cannot be written.
    """
    file = weights_folder() / weights.file_name
    if file.is_file():
        _check_recorded(weights, file, file)
        return file
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not weights.is_released or (weights.address is None and not mirror):
        raise FileNotFoundError(_why_missing(weights, file))
    check_folder_can_be_written(file.parent, 'folder of published weights')
    file.parent.mkdir(parents=True, exist_ok=True)
    if weights.hub_repository and not mirror:
        return _downloaded_from_hub(weights, file)
    address = f'{mirror.rstrip("/")}/{weights.file_name}' if mirror else str(weights.address)
    return _downloaded(weights, file, address)


def _why_missing(weights: PublishedWeights, file: Path) -> str:
    if not weights.is_released:
        return f'weights {weights.name!r}: {weights.reason} ({weights.page})'
    return (
        f'weights {weights.name!r}: {weights.reason}; download the file from {weights.page} and '
        f'put it at {str(file)!r}'
    )


def _downloaded(weights: PublishedWeights, file: Path, address: str) -> Path:
    # The suffix tells the reader the format.
    partial = file.with_name(f'.{secrets.token_hex(8)}.incomplete{file.suffix}')
    try:
        try:
            torch.hub.download_url_to_file(address, str(partial))
        except (OSError, HTTPException, ValueError) as error:
            raise CheckpointError(
                f'weights {weights.name!r} cannot be downloaded from {address}: {error}'
            ) from error
        _check_readable(weights, partial, address)
        _check_recorded(weights, partial, file, address)
        _record(partial, file)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _downloaded_from_hub(weights: PublishedWeights, file: Path) -> Path:
    """Download to the cache of huggingface_hub, which checks and replaces files itself."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f'weights {weights.name!r} are on the Hugging Face Hub: pip install mmvmlp[hub]'
        ) from error
    repository, name = str(weights.hub_repository), str(weights.address).rpartition('/')[2]
    try:
        cached = Path(hf_hub_download(repository, name))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'weights {weights.name!r} cannot be downloaded from {weights.address}: '
            f'{str(error).strip().splitlines()[0]}'
        ) from error
    _check_recorded(weights, cached, file)
    _record(cached, file)
    return cached


def _check_readable(weights: PublishedWeights, partial: Path, address: str) -> None:
    """Refuse a truncated file: PyTorch's downloader does not compare its length."""
    try:
        read_checkpoint(partial)
    except CheckpointError as error:
        reason = str(error).replace(repr(str(partial)), repr(address))
        raise CheckpointError(f'weights {weights.name!r}: {reason}') from error


def _record_of(file: Path) -> Path:
    return file.with_name(f'{file.name}.sha256')


def _check_recorded(
    weights: PublishedWeights, found: Path, file: Path, origin: str | Path | None = None
) -> None:
    """Refuse a file whose SHA-256 is not the one that was recorded for it."""
    record = _record_of(file)
    if not record.is_file():
        return
    recorded, digest = record.read_text(encoding='utf-8').split()[0], sha256_of(found)
    if digest != recorded:
        raise CheckpointError(
            f'weights {weights.name!r}: the SHA-256 of {str(origin or found)!r} is {digest}, but '
            f'that of the first download was {recorded} ({str(record)!r}); delete what is wrong'
        )


def _record(found: Path, file: Path) -> None:
    """Write the record in the format of ``sha256sum``, so that it can check the folder."""
    if not _record_of(file).is_file():
        write_atomically(_record_of(file), f'{sha256_of(found)}  {file.name}\n'.encode())


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
