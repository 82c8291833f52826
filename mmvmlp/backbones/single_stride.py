"""What the networks share that embed patches once and keep one resolution from there on.

Their depth is split into four equal stages, so that ``out_indices`` means what it means for the
others; all four levels have the same channels and the same stride.
"""

from abc import abstractmethod
from dataclasses import dataclass, field

from torch import nn

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import NUM_LEVELS, FeatureInfo, Stage, VisionMLP
from mmvmlp.ops import PatchEmbedding


@dataclass(frozen=True)
class SingleStrideArchitecture(Architecture):
    """What distinguishes one network of a single stride from another.

    Attributes:
        depth: Blocks.
        channels: Channels of every map.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Hidden channels of the channel MLP over ``channels``.
    """

    depth: int = field(metadata={'lowest': NUM_LEVELS})
    channels: int
    patch_size: int = 16
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class FixedSizeArchitecture(SingleStrideArchitecture):
    """What distinguishes one network from another whose token mixing has a fixed size.

    Attributes:
        depth: Blocks.
        channels: Channels of every map.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Hidden channels of the channel MLP over ``channels``.
        image_size: Side in pixels of the square images that the token mixing is made for.
    """

    image_size: int = 224

    def __post_init__(self) -> None:
        """Refuse values no network can be built from."""
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise ValueError(
                f'arch field image_size={self.image_size!r}: a positive multiple of the patch '
                f'size {self.patch_size} is accepted'
            )

    @property
    def tokens_per_side(self) -> int:
        """Tokens in a row, and in a column, of the native size."""
        return self.image_size // self.patch_size


class SingleStrideMLP(VisionMLP):
    """A backbone of one stride; a family says what its blocks are.

    Args:
        arch: A variant's name, or a mapping with the fields of the family's architecture.
        **others: Those of :class:`~mmvmlp.VisionMLP`.
    """

    @abstractmethod
    def build_block(self, drop_path_rate: float) -> nn.Module:
        """Return a block."""

    @property
    def depths(self) -> tuple[int, int, int, int]:
        """Blocks of each of the four stages; where they cannot be equal, later ones have more."""
        ends = [self.arch.depth * stage // NUM_LEVELS for stage in range(NUM_LEVELS + 1)]
        first, second, third, fourth = (ends[i + 1] - ends[i] for i in range(NUM_LEVELS))
        return first, second, third, fourth

    def levels(self) -> tuple[FeatureInfo, ...]:
        return (FeatureInfo(self.arch.channels, self.arch.patch_size),) * NUM_LEVELS

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(self.in_channels, self.arch.channels, self.arch.patch_size)

    def build_stage(self, stage: int) -> Stage:
        return Stage([self.build_block(rate) for rate in self.drop_path_rates()[stage]])
