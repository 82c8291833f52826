"""Base classes of single-stride networks, which embed patches once and keep their resolution.

Their blocks are split into four equal stages, so that ``out_indices`` works as for other networks;
all four levels have the same channels and stride.
"""

from abc import abstractmethod
from dataclasses import dataclass, field

from torch import nn

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import NUM_LEVELS, FeatureInfo, Stage, VisionMLP
from mmvmlp.ops import PatchEmbedding


@dataclass(frozen=True)
class SingleStrideArchitecture(Architecture):
    """Architecture of a single-stride network.

    Attributes:
        depth: Number of blocks.
        channels: Number of channels.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
    """

    depth: int = field(metadata={'lowest': NUM_LEVELS})
    channels: int
    patch_size: int = 16
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class FixedSizeArchitecture(SingleStrideArchitecture):
    """Architecture of a single-stride network with fixed-size token mixing.

    Attributes:
        depth: Number of blocks.
        channels: Number of channels.
        patch_size: Side of a patch in pixels, and the stride.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
        image_size: Native image size: side of a square in pixels.
    """

    image_size: int = 224

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise ValueError(
                f'arch field image_size={self.image_size!r}: a positive multiple of the patch '
                f'size {self.patch_size} is accepted'
            )

    @property
    def tokens_per_side(self) -> int:
        """Tokens per row and per column at the native size."""
        return self.image_size // self.patch_size


class SingleStrideMLP(VisionMLP):
    """Base class of single-stride backbones; families define their blocks.

    Args:
        arch: Name of a variant, or a mapping with the fields of the family's architecture.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`.
    """

    @abstractmethod
    def build_block(self, drop_path_rate: float) -> nn.Module:
        """Build a block."""

    @property
    def depths(self) -> tuple[int, int, int, int]:
        """Number of blocks of each stage; if they cannot be equal, later stages have more."""
        ends = [self.arch.depth * stage // NUM_LEVELS for stage in range(NUM_LEVELS + 1)]
        first, second, third, fourth = (ends[i + 1] - ends[i] for i in range(NUM_LEVELS))
        return first, second, third, fourth

    def levels(self) -> tuple[FeatureInfo, ...]:
        return (FeatureInfo(self.arch.channels, self.arch.patch_size),) * NUM_LEVELS

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(self.in_channels, self.arch.channels, self.arch.patch_size)

    def build_stage(self, stage: int) -> Stage:
        return Stage([self.build_block(rate) for rate in self.drop_path_rates()[stage]])
