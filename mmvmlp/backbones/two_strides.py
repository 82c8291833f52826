"""Base classes of networks of two strides, which merge patches once between their stages.

A variant may do without merging: all four levels then have the same channels and stride.
"""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.base import FeatureInfo, Stage, VisionMLP
from mmvmlp.ops import PatchEmbedding


@dataclass(frozen=True)
class TwoStrideArchitecture(Architecture):
    """Architecture of a network of two strides; tuples hold one value per stage.

    Attributes:
        depths: Number of blocks.
        channels: Number of channels, equal in stages of the same stride.
        strides: Strides. The first is the side of a patch in pixels, and where the stride grows,
            patches are merged before the stage.
        mlp_ratio: Ratio of hidden channels of the channel MLP to ``channels``.
    """

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    mlp_ratio: float = 3.0

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if any(stride % before for before, stride in pairwise(self.strides)):
            raise ValueError(
                f'arch field strides={self.strides!r}: each a multiple of the one before it is '
                'accepted'
            )
        same_stride = (before == stride for before, stride in pairwise(self.strides))
        for same, (before, channels) in zip(same_stride, pairwise(self.channels), strict=True):
            if same and before != channels:
                raise ValueError(
                    f'arch field channels={self.channels!r}: equal numbers in stages of the same '
                    f'stride, with strides={self.strides!r}, are accepted'
                )


class TwoStrideMLP(VisionMLP):
    """Base class of backbones of two strides; families define their blocks.

    Args:
        arch: Name of a variant, or a mapping with the fields of the family's architecture.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`.
    """

    @abstractmethod
    def build_block(self, stage: int, drop_path_rate: float) -> nn.Module:
        """Build a block of a stage, numbered from 0."""

    def levels(self) -> tuple[FeatureInfo, ...]:
        return tuple(map(FeatureInfo, self.arch.channels, self.arch.strides))

    def build_stem(self) -> nn.Module:
        return PatchEmbedding(self.in_channels, self.arch.channels[0], self.arch.strides[0])

    def build_stage(self, stage: int) -> Stage:
        blocks = [self.build_block(stage, rate) for rate in self.drop_path_rates()[stage]]
        before, strides, channels = max(0, stage - 1), self.arch.strides, self.arch.channels
        if strides[stage] == strides[before]:
            return Stage(blocks)
        side = strides[stage] // strides[before]
        return Stage(blocks, PatchEmbedding(channels[before], channels[stage], side))
