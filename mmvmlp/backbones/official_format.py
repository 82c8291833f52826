"""Description of published checkpoint formats, and their conversion to ours."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rearrangement:
    """The layout of a published tensor, and the way to ours and back.

    Attributes:
        ours: Function from a published tensor and our shape to the tensor in our layout.
        official: Function from the tensor in our layout to the published one.
    """

    ours: Callable[[torch.Tensor, torch.Size], torch.Tensor]
    official: Callable[[torch.Tensor], torch.Tensor]


def _reshaped(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return tensor.reshape(shape)


def _transposed(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return tensor.flatten(1).t().reshape(shape)


LINEAR = Rearrangement(_reshaped, lambda tensor: tensor.flatten(1))
"""Weight (out, in) of a linear layer, of which ours may have more axes."""

POINTWISE = Rearrangement(_reshaped, lambda tensor: tensor.flatten(1)[..., None, None])
"""Weight (out, in, 1, 1) of a convolution, whose inputs ours may spread over other axes."""

TRANSPOSED_POINTWISE = Rearrangement(
    _transposed, lambda tensor: tensor.flatten(1).t()[..., None, None]
)
"""Weight (out, in, 1, 1) of a convolution that is (in, out...) here."""

TRANSPOSED_LINEAR = Rearrangement(_transposed, lambda tensor: tensor.flatten(1).t())
"""Weight (in, out) of a linear layer in Flax."""

FLAT = Rearrangement(_reshaped, lambda tensor: tensor.flatten())
"""Vector, such as a bias, that has more axes here."""

CHANNELS_LAST_VECTOR = Rearrangement(_reshaped, lambda tensor: tensor[None, None])
"""Vector (1, 1, channels), for maps whose channels come last."""

FLAX_CONVOLUTION = Rearrangement(
    lambda tensor, shape: tensor.permute(3, 2, 0, 1).reshape(shape),
    lambda tensor: tensor.permute(2, 3, 1, 0),
)
"""Kernel (height, width, in, out) of a convolution in Flax."""


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
        constants: What published files hold although it is no weight, and is not loaded: a regular
            expression for the official key of a weight, the replacement that makes the constant's
            key of it, and the function from that weight to the constant.
        rearrangements: Pairs of regular expression for our names and layout of the tensor; other
            tensors are unchanged.
        in_model: True if published files hold whole models, in which the backbone's keys start with
            ``backbone.``.
    """

    name: str
    signature: str
    renamings: tuple[tuple[str, str], ...]
    classifier_keys: str
    constants: tuple[tuple[str, str, Callable[[torch.Tensor], torch.Tensor]], ...] = ()
    rearrangements: tuple[tuple[str, Rearrangement], ...] = ()
    in_model: bool = False

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
        constants = {
            re.sub(pattern, replacement, key)
            for pattern, replacement, _ in self.constants
            for key in tensors
            if re.search(pattern, key)
        }
        named: dict[str, tuple[str, torch.Tensor]] = {}
        # Classifier keys come last, so that they do not replace other tensors.
        for key in sorted(tensors, key=lambda key: bool(re.search(self.classifier_keys, key))):
            if key in constants:
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
        name = self._renamed(official_key)
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
        rearrangement = self._rearrangement(name)
        return tensor if rearrangement is None else rearrangement.ours(tensor, shape)

    def official_tensors(
        self,
        tensors: Mapping[str, torch.Tensor],
        depths: Sequence[int],
        strides: Sequence[int],
    ) -> dict[str, torch.Tensor]:
        """Convert all tensors of a network of ours back, with the constants that were left out.

        Args:
            tensors: Our tensors by name; the classifier layer is ``head.fc``.
            depths: Number of blocks in each stage of our model.
            strides: Stride of each stage of our model.

        Returns:
            Published tensors by official key.

        Raises:
            ValueError: If the format has no key for a name.
        """
        classifies = any(name.startswith('head.') for name in tensors)
        published: dict[str, torch.Tensor] = {}
        for name, tensor in tensors.items():
            key = self.official_key(name, depths, strides, classifies)
            rearrangement = self._rearrangement(name)
            if rearrangement is not None:
                tensor = rearrangement.official(tensor).contiguous()
            published[key] = tensor
            for pattern, replacement, constant in self.constants:
                if re.search(pattern, key):
                    published[re.sub(pattern, replacement, key)] = constant(tensor)
        return published

    def official_key(
        self, name: str, depths: Sequence[int], strides: Sequence[int], classifies: bool = True
    ) -> str:
        """Convert our name to the official key, which is the one that becomes our name.

        Renamings are undone in the opposite order. Where several keys become our name, the model
        tells the norm of a classifier from that of its last level; otherwise it is the key that
        the earliest renamings apply to, as these are the most specific.

        Args:
            name: Name in our model.
            depths: Number of blocks in each stage of our model.
            strides: Stride of each stage of our model.
            classifies: True if the model is a classifier.

        Raises:
            ValueError: If no key becomes this name.
        """
        keys = {
            key: undone
            for key, undone in _before(self._counted(name, depths, strides), self.renamings)
            if self.our_name(key, depths, strides) == name
        }
        if not keys:
            raise ValueError(f'name={name!r}: {self.name} has no such tensor')
        return min(
            keys,
            key=lambda key: (
                bool(re.search(self.classifier_keys, key)) is not classifies,
                [*keys[key], len(self.renamings)],
            ),
        )

    def _counted(self, name: str, depths: Sequence[int], strides: Sequence[int]) -> str:
        """Return a name as the renamings leave it, with the format's numbers of blocks."""
        numbering = self._renamed(self.signature).partition('.')[0]
        if numbering == 'entries':
            for number, entry in enumerate(_entries(strides)):
                if name.startswith(f'{entry}.'):
                    return f'entries.{number}{name.removeprefix(entry)}'
        block = re.match(r'stages\.(\d+)\.blocks\.(\d+)\.', name)
        if numbering == 'blocks' and block:
            number = sum(depths[: int(block[1])]) + int(block[2])
            return f'blocks.{number}.{name[block.end() :]}'
        return name

    def _renamed(self, official_key: str) -> str:
        for pattern, replacement in self.renamings:
            official_key = re.sub(pattern, replacement, official_key)
        return official_key

    def _rearrangement(self, name: str) -> Rearrangement | None:
        for pattern, rearrangement in self.rearrangements:
            if re.search(pattern, name):
                return rearrangement
        return None


def _entries(strides: Sequence[int]) -> list[str]:
    """Return our names of the entries of a list of stages, with each merging before its stage."""
    entries = []
    for stage, stride in enumerate(strides):
        if stage and stride != strides[stage - 1]:
            entries.append(f'stages.{stage}.downsample')
        entries.append(f'stages.{stage}.blocks')
    return entries


def _before(
    name: str, renamings: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield what renamings may have made this name of, with the positions of those renamings."""
    if not renamings:
        yield name, ()
        return
    *earlier, (pattern, replacement) = renamings
    undone = re.sub(*_undoing(pattern, replacement), name)
    if undone != name:
        for key, positions in _before(undone, earlier):
            yield key, (*positions, len(earlier))
    yield from _before(name, earlier)


@functools.cache
def _undoing(pattern: str, replacement: str) -> tuple[str, str]:
    """Return the renaming that undoes another: its replacement as pattern, and the other way round.

    Raises:
        ValueError: If the replacement loses what the pattern matches, other than anchors.
    """
    groups = re.findall(r'\((?!\?)[^()]*\)', pattern)
    numbers = [int(number) for number in re.findall(r'\\(\d)', replacement)]
    literal = pattern
    for number, group in enumerate(groups, start=1):
        literal = literal.replace(group, f'\0{number}', 1)
    literal = literal.removeprefix('^').removesuffix('$').replace(r'\.', '.')
    if numbers != list(range(1, len(groups) + 1)) or re.search(r'[\\()\[\]|*+?^$]', literal):
        raise ValueError(f'renaming ({pattern!r}, {replacement!r}) cannot be undone')
    parts = re.split(r'\\\d', replacement)
    undoing = re.escape(parts[0]) + ''.join(
        group + re.escape(part) for group, part in zip(groups, parts[1:], strict=True)
    )
    start, end = '^' * pattern.startswith('^'), '$' * pattern.endswith('$')
    return start + undoing + end, re.sub(r'\0(\d)', r'\\\1', literal)
