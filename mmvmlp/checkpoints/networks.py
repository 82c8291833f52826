"""Recognise the network of a checkpoint by its keys and shapes."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from mmvmlp.backbones.base import VisionMLP, registered_families
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.build import build_backbone, resolve_name
from mmvmlp.checkpoints.reading import SHOWN_KEYS, CheckpointError

PREFIX = 'backbone.'
"""Start of a backbone's keys in a whole model."""

CLASSIFIER_LAYER = ('head.fc.weight', 'head.fc.bias')


@dataclass(frozen=True)
class NetworkTensors:
    """Tensors of a checkpoint in our names and layout.

    Attributes:
        name: Name of the network.
        backbone: The network, without memory for its weights.
        official: Published format that the checkpoint has; None for our own.
        tensors: Tensors of the backbone by our name, with those of a classifier's ``head.fc``.
        others: Tensors of necks and other heads by key; those of a backbone alone have none.
    """

    name: str
    backbone: VisionMLP
    official: OfficialFormat | None
    tensors: Mapping[str, torch.Tensor]
    others: Mapping[str, torch.Tensor]

    @property
    def strides(self) -> list[int]:
        """Stride of each stage."""
        return [level.stride for level in self.backbone.levels()]


def recognise_network(
    tensors: Mapping[str, torch.Tensor], network: str | None = None
) -> NetworkTensors:
    """Find the network whose tensors a checkpoint holds, all of them, and name them as we do.

    Args:
        tensors: From :func:`~mmvmlp.checkpoints.extract_state_dict`.
        network: Name of the network, in any spelling; by default all are tried.

    Raises:
        CheckpointError: If it is of no network, or of another one than was named.
        ValueError: If the name is unknown.
    """
    start = PREFIX if any(key.startswith(PREFIX) for key in tensors) else ''
    misfits = []
    for name, backbone in _candidates(tensors, start, network):
        found = _named(name, backbone, tensors, start)
        misfit = _misfit(found)
        if misfit is None:
            return found
        misfits.append(f'{name}: {misfit}')
    if not misfits:
        raise CheckpointError(
            f'the checkpoint is of none of our networks: its first keys are '
            f'{list(tensors)[:SHOWN_KEYS]}'
        )
    raise CheckpointError(
        'the checkpoint does not fit '
        + (f'{network}: ' if network else 'any published architecture; ')
        + '; '.join(misfits[:SHOWN_KEYS])
    )


def _candidates(
    tensors: Mapping[str, torch.Tensor], start: str, network: str | None
) -> Iterator[tuple[str, VisionMLP]]:
    if network is not None:
        names = [resolve_name(network)]
    else:
        families = [
            family for family in registered_families() if family.official_format(tensors, start)
        ]
        if not families and f'{start}stem.conv.weight' in tensors:
            families = [_most_similar_family(tensors, start)]
        names = [
            f'{family.name_prefix}_{variant}' for family in families for variant in family.variants
        ]
    for name in names:
        yield name, _without_memory(name)


@functools.cache
def _without_memory(name: str) -> VisionMLP:
    with torch.device('meta'):
        return build_backbone(name, out_norm=True)


def _most_similar_family(tensors: Iterable[str], start: str) -> type[VisionMLP]:
    """Return the family whose keys a checkpoint of ours shares, whatever their numbers."""

    def kinds(keys: Iterable[str]) -> set[str]:
        return {re.sub(r'\d+', '', key) for key in keys if key.startswith(('stem.', 'stages.'))}

    given = kinds(key.removeprefix(start) for key in tensors if key.startswith(start))

    def similarity(family: type[VisionMLP]) -> float:
        with torch.device('meta'):
            own = kinds(family(family.small_arch).state_dict())
        return len(own & given) / len(own | given)

    return max(registered_families(), key=similarity)


def _named(
    name: str, backbone: VisionMLP, tensors: Mapping[str, torch.Tensor], start: str
) -> NetworkTensors:
    own = {
        key.removeprefix(start): tensor
        for key, tensor in tensors.items()
        if key[: len(start)] == start
    }
    others = {key: tensor for key, tensor in tensors.items() if key[: len(start)] != start}
    official = backbone.official_format(own)
    if official is not None:
        converted = backbone.converted(official, own, _expected(backbone, official, own))
        own = {ours: tensor for ours, (_, tensor) in converted.items()}
    if others.keys() <= set(CLASSIFIER_LAYER):
        own, others = {**own, **others}, {}
    return NetworkTensors(name, backbone, official, own, others)


def _expected(
    backbone: VisionMLP, official: OfficialFormat, published: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return our tensors, with the classifier layer of as many classes as were published."""
    expected: dict[str, torch.Tensor] = backbone.state_dict()
    strides = [level.stride for level in backbone.levels()]
    channels = backbone.feature_info[-1].channels
    for key, tensor in published.items():
        if official.our_name(key, backbone.depths, strides) == CLASSIFIER_LAYER[0]:
            expected[CLASSIFIER_LAYER[0]] = tensor.new_empty(
                tensor.numel() // channels, channels, device='meta'
            )
    return expected


def _misfit(found: NetworkTensors) -> str | None:
    """Return what does not fit, if anything; norms of emitted levels may be missing."""
    expected = found.backbone.state_dict()
    for key, tensor in expected.items():
        if key not in found.tensors:
            if not re.match(r'norm\d\.', key) and not key.endswith('.num_batches_tracked'):
                return f'{key} is missing'
        elif tensor.shape != found.tensors[key].shape:
            ours, theirs = tuple(tensor.shape), tuple(found.tensors[key].shape)
            return f'{key} has shape {theirs}, not {ours}'
    surplus = found.tensors.keys() - expected.keys() - set(CLASSIFIER_LAYER)
    return f'{min(surplus)} is unknown' if surplus else None
