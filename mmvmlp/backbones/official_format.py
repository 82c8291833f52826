"""How a family says what its published checkpoints look like."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Rearrangement = Callable[[torch.Tensor, torch.Size], torch.Tensor]
"""From the published tensor and our shape to the tensor in our layout."""


def reshaped(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return a tensor whose elements already have our order, in our shape."""
    return tensor.reshape(shape)


def transposed(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the weight of a pointwise layer (out, in, ...) as (in, out...), in our shape."""
    return tensor.flatten(1).t().reshape(shape)


def channels_first(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the kernel of a convolution (height, width, in, out) as (out, in, height, width)."""
    return tensor.permute(3, 2, 0, 1).reshape(shape)


@dataclass(frozen=True)
class OfficialFormat:
    """The key names of one published kind of checkpoint, and how they map to ours.

    Attributes:
        name: What users call it, with its source.
        signature: A key that such checkpoints have and no others.
        renamings: Regular expressions with replacements, applied in this order, each to the
            result of those before it. A classifier's layer is ``head.fc``; ``blocks.k.`` at the
            start of a result is block k counted over all stages.
        classifier_keys: Regular expression for the official keys that only a classifier needs. A
            norm among them yields to the norm of the same level where a checkpoint has both.
        rearrangements: Regular expressions on our names, with what brings the published tensor
            into our shape. Tensors that none matches are taken as they are.
    """

    name: str
    signature: str
    renamings: tuple[tuple[str, str], ...]
    classifier_keys: str
    rearrangements: tuple[tuple[str, Rearrangement], ...] = ()

    def our_name(self, official_key: str, depths: Sequence[int]) -> str:
        """Return our name of an official key; keys that no rule knows keep theirs.

        Args:
            official_key: The key as it was published.
            depths: Blocks of each stage of our model.
        """
        name = official_key
        for pattern, replacement in self.renamings:
            name = re.sub(pattern, replacement, name)
        counted = re.match(r'blocks\.(\d+)\.', name)
        if counted is None:
            return name
        stage, block = 0, int(counted[1])
        while stage < len(depths) - 1 and block >= depths[stage]:
            block -= depths[stage]
            stage += 1
        return f'stages.{stage}.blocks.{block}.{name[counted.end() :]}'

    def our_tensor(self, name: str, tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Return an official tensor in our layout.

        Args:
            name: Our name of it.
            tensor: As it was published.
            shape: The shape it has in our model.

        Returns:
            The tensor in that shape, or as it was published if the numbers of elements differ.
        """
        if tensor.numel() != shape.numel():
            return tensor
        for pattern, rearrange in self.rearrangements:
            if re.search(pattern, name):
                return rearrange(tensor, shape)
        return tensor
