"""Description of published checkpoint formats, and their conversion to ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Rearrangement = Callable[[torch.Tensor, torch.Size], torch.Tensor]
"""Function from a published tensor and our shape to the tensor in our layout."""


def reshaped(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Reshape a tensor whose elements are in our order."""
    return tensor.reshape(shape)


def transposed(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Transpose the weight of a pointwise layer from (out, in, ...) to (in, out...)."""
    return tensor.flatten(1).t().reshape(shape)


def channels_first(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Permute a convolution kernel from (height, width, in, out) to (out, in, height, width)."""
    return tensor.permute(3, 2, 0, 1).reshape(shape)


@dataclass(frozen=True)
class OfficialFormat:
    """A published checkpoint format, and its conversion to ours.

    Attributes:
        name: Common name of the format, with its source.
        signature: Key that identifies the format.
        renamings: Pairs of regular expression and replacement, applied in this order. The
            classifier layer is renamed to ``head.fc``; a result that starts with ``blocks.k.`` is
            block k counted over all stages, and one that starts with ``entries.k.`` is entry k of a
            list of all stages, in which merging is an entry before its stage.
        classifier_keys: Regular expression for official keys that only classifiers have. If a
            checkpoint has both a classifier's norm and the norm of the same level, the latter is
            loaded.
        constant_keys: Regular expression for official keys of constants, which are not loaded; by
            default there are none.
        rearrangements: Pairs of regular expression for our names and function that rearranges the
            tensor; other tensors are unchanged.
    """

    name: str
    signature: str
    renamings: tuple[tuple[str, str], ...]
    classifier_keys: str
    constant_keys: str | None = None
    rearrangements: tuple[tuple[str, Rearrangement], ...] = ()

    def our_tensors(
        self,
        tensors: Mapping[str, torch.Tensor],
        depths: Sequence[int],
        strides: Sequence[int],
        expected: Mapping[str, torch.Tensor],
    ) -> dict[str, tuple[str, torch.Tensor]]:
        """Convert all tensors of a network; those that the model lacks keep their layout.

        Args:
            tensors: Published tensors by official key.
            depths: Number of blocks in each stage of our model.
            strides: Stride of each stage of our model.
            expected: Tensors of our model by name.

        Returns:
            By our name: the official key, and the tensor in our layout.
        """
        named: dict[str, tuple[str, torch.Tensor]] = {}
        # Classifier keys come last, so that they do not replace other tensors.
        for key in sorted(tensors, key=lambda key: bool(re.search(self.classifier_keys, key))):
            if self.constant_keys and re.search(self.constant_keys, key):
                continue
            name, tensor = self.our_name(key, depths, strides), tensors[key]
            if name in named:
                name = key
            if name in expected:
                tensor = self.our_tensor(name, tensor, expected[name].shape)
            named[name] = (key, tensor)
        return named

    def our_name(self, official_key: str, depths: Sequence[int], strides: Sequence[int]) -> str:
        """Convert an official key to our name; unknown keys are unchanged.

        Args:
            official_key: Key in the published checkpoint.
            depths: Number of blocks in each stage of our model.
            strides: Stride of each stage of our model.
        """
        name = official_key
        for pattern, replacement in self.renamings:
            name = re.sub(pattern, replacement, name)
        entry = re.match(r'entries\.(\d+)\.', name)
        if entry is not None:
            entries = _entries(strides)
            number = int(entry[1])
            known = number < len(entries)
            return f'{entries[number]}.{name[entry.end() :]}' if known else official_key
        counted = re.match(r'blocks\.(\d+)\.', name)
        if counted is None:
            return name
        stage, block = 0, int(counted[1])
        while stage < len(depths) - 1 and block >= depths[stage]:
            block -= depths[stage]
            stage += 1
        return f'stages.{stage}.blocks.{block}.{name[counted.end() :]}'

    def our_tensor(self, name: str, tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Convert an official tensor to our layout.

        Args:
            name: Our name of the tensor.
            tensor: Published tensor.
            shape: Shape in our model.

        Returns:
            Tensor in our shape, or unchanged if the number of elements differs.
        """
        if tensor.numel() != shape.numel():
            return tensor
        for pattern, rearrange in self.rearrangements:
            if re.search(pattern, name):
                return rearrange(tensor, shape)
        return tensor


def _entries(strides: Sequence[int]) -> list[str]:
    """Return our names of the entries of a list of stages, with each merging before its stage."""
    entries = []
    for stage, stride in enumerate(strides):
        if stage and stride != strides[stage - 1]:
            entries.append(f'stages.{stage}.downsample')
        entries.append(f'stages.{stage}.blocks')
    return entries
