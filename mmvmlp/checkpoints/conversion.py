"""Convert checkpoints between published formats and ours, exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.checkpoints.networks import CLASSIFIER_LAYER, PREFIX, NetworkTensors, recognise_network
from mmvmlp.checkpoints.published import checkpoint_file
from mmvmlp.checkpoints.reading import (
    SHOWN_KEYS,
    CheckpointError,
    class_names,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.checkpoints.writing import check_checkpoint_can_be_written, write_checkpoint

OURS = 'ours'
OUR_FORMAT = 'mmvmlp checkpoint'


@dataclass(frozen=True)
class Conversion:
    """Result of converting a checkpoint.

    Attributes:
        network: Name of the network.
        source: Name of the format that was read.
        target: Name of the format that was written.
        tensors: Converted tensors by key.
    """

    network: str
    source: str
    target: str
    tensors: Mapping[str, torch.Tensor]


def convert_checkpoint(
    source: str | Path,
    file: Path,
    *,
    network: str | None = None,
    to: str = OURS,
    use_ema: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Convert a checkpoint file: published to ours, ours to published, or one to the other.

    Only weights are converted: optimizer state and records stay behind, except for class names in
    our format.

    Args:
        source: A file, a URL, or the name of published weights.
        file: ``.pth``, ``.safetensors`` or ``.npz`` file to write.
        network: See :func:`convert_tensors`.
        to: See :func:`convert_tensors`.
        use_ema: True to convert the exponential moving average of the weights.
        overwrite: True to replace an existing file.

    Raises:
        FileNotFoundError: If the source does not exist.
        FileExistsError: If the file exists and is not to be overwritten.
        CheckpointError: If the source cannot be read, or is of no network.
        ValueError: If an argument is not accepted.
    """
    check_checkpoint_can_be_written(file, overwrite)
    found = checkpoint_file(source)
    contents = read_checkpoint(found)
    tensors = extract_state_dict(contents, found, use_ema)
    conversion = convert_tensors(tensors, network=network, to=to)
    names = class_names(contents) if to == OURS and file.suffix != '.npz' else None
    write_checkpoint(file, conversion.tensors, names)
    return conversion


def convert_tensors(
    tensors: Mapping[str, torch.Tensor], *, network: str | None = None, to: str = OURS
) -> Conversion:
    """Convert the tensors of a checkpoint, and check that they convert back to the same.

    Args:
        tensors: From :func:`~mmvmlp.checkpoints.extract_state_dict`.
        network: Name of the network; by default it is recognised by keys and shapes.
        to: ``'ours'``, for a whole model with the backbone under ``backbone.``; ``'official'``, the
            first format of the network's family; or a word from the name of one of its formats,
            such as ``'timm'``.

    Raises:
        CheckpointError: If the checkpoint is of no network, or has tensors that its format lacks.
        ValueError: If an argument is not accepted.
    """
    found = recognise_network(tensors, network)
    if found.official is not None:
        _refuse_if_different(_published(found, found.official), tensors, found.official.name)
    if to == OURS:
        return Conversion(found.name, _format_name(found), OUR_FORMAT, _ours(found))
    target = _find_format(found, to)
    published = _published(found, target)
    _refuse_if_different(_ours(recognise_network(published, found.name)), _ours(found), target.name)
    return Conversion(found.name, _format_name(found), target.name, published)


def _format_name(found: NetworkTensors) -> str:
    return OUR_FORMAT if found.official is None else found.official.name


def _find_format(found: NetworkTensors, to: str) -> OfficialFormat:
    formats = type(found.backbone).official_formats
    fitting = [official for official in formats if to.lower() in official.name.lower()]
    if to == 'official':
        fitting = list(formats[:1])
    if len(fitting) != 1:
        names = ', '.join(official.name for official in formats) or 'none'
        raise ValueError(
            f"to={to!r}: accepted are 'ours', 'official', or a word from one of the formats of "
            f'{type(found.backbone).__name__}: {names}'
        )
    return fitting[0]


def _ours(found: NetworkTensors) -> dict[str, torch.Tensor]:
    own = {
        name if name in CLASSIFIER_LAYER else PREFIX + name: tensor.contiguous()
        for name, tensor in found.tensors.items()
    }
    return {**own, **found.others}


def _published(found: NetworkTensors, official: OfficialFormat) -> dict[str, torch.Tensor]:
    start = PREFIX if found.others or official.in_model else ''
    published = official.official_tensors(found.tensors, found.backbone.depths, found.strides)
    own = {
        key if start and key in CLASSIFIER_LAYER else start + key: tensor
        for key, tensor in published.items()
    }
    return {**own, **found.others}


def _refuse_if_different(
    converted: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], name: str
) -> None:
    """Raise unless tensors that were converted there and back are the same, bit by bit."""
    different = [
        key
        for key in {**expected, **converted}
        if key not in expected or key not in converted or not _same(converted[key], expected[key])
    ]
    if different:
        raise CheckpointError(
            f'the checkpoint cannot be converted exactly: {name} has other tensors, such as '
            f'{", ".join(different[:SHOWN_KEYS])}'
        )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
