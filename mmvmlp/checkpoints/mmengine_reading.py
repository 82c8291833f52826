"""Checkpoints that mmengine opens: ``load_from``, ``resume``, ``Pretrained``, the inferencers.

mmengine's own reader falls back to full unpickling, which runs whatever code a file holds.
"""

from typing import Any

from mmengine import fileio
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_deprecated_model_names, get_external_models

from mmvmlp.checkpoints.reading import CheckpointError, extract_state_dict, read_checkpoint


def read_safely_in_mmengine() -> None:
    """Make mmengine open checkpoints through :func:`read_checkpoint`, in this process.

    Its schemes ``torchvision://`` and ``mmcls://`` stay: they lead to addresses whose files
    torch.hub reads as safely.
    """
    for prefixes, loader in (
        (('', 'http://', 'https://'), _load_from_file_or_address),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), _load_from_store),
        (('open-mmlab://', 'openmmlab://'), _load_from_model_zoo),
        (('pavi://',), _load_from_nowhere),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


# mmengine's log has what follows `load_from_` in the names of these functions.


def _load_from_file_or_address(filename: str, map_location: Any = None) -> dict[str, Any]:
    contents = read_checkpoint(filename, map_location)
    # Raises if a tensor cannot be used.
    extract_state_dict(contents, filename)
    return contents


def _load_from_store(filename: str, map_location: Any = None) -> dict[str, Any]:
    with fileio.get_local_path(filename, backend_args={'backend': 'petrel'}) as file:
        return _load_from_file_or_address(file, map_location)


def _load_from_model_zoo(filename: str, map_location: Any = None) -> dict[str, Any]:
    name = filename.partition('://')[2]
    address = get_external_models().get(get_deprecated_model_names().get(name, name), '')
    if not address.startswith(('http://', 'https://')):
        raise CheckpointError(f"checkpoint {filename!r}: mmengine's model zoo has no address of it")
    return _load_from_file_or_address(address, map_location)


def _load_from_nowhere(filename: str, map_location: Any = None) -> dict[str, Any]:
    raise CheckpointError(f'checkpoint {filename!r} cannot be read safely; download it first')
