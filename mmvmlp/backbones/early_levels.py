"""Base class of networks whose official dense backbones take levels before the blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmvmlp.backbones.arguments import boolean
from mmvmlp.backbones.base import VisionMLP
from mmvmlp.ops import Resolution


class EarlyLevelMLP(VisionMLP):
    """Base class of backbones that emit some levels before the blocks of their resolution.

    Args:
        arch: Name of a variant, or a mapping with the fields of the family's architecture.
        levels_before_blocks: False to take all levels after the blocks, as other families do.
        **others: Arguments of :class:`~mmvmlp.VisionMLP`.
    """

    early_levels: ClassVar[tuple[int, ...]]
    """Levels that the official dense backbone takes before the blocks."""

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = None,
        *,
        levels_before_blocks: bool = True,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_norm: bool = False,
        drop_path_rate: float = 0.0,
        norm_cfg: Mapping[str, Any] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        resolution: Resolution | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        self.levels_before_blocks = boolean('levels_before_blocks', levels_before_blocks)
        super().__init__(
            arch,
            in_channels=in_channels,
            out_indices=out_indices,
            out_norm=out_norm,
            drop_path_rate=drop_path_rate,
            norm_cfg=norm_cfg,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            resolution=resolution,
            init_cfg=init_cfg,
        )

    def emits_before_blocks(self, level: int) -> bool:
        return self.levels_before_blocks and level in self.early_levels

    def rates_of_built_blocks(self, stage: int) -> list[float]:
        """Return the drop path rates of a stage's blocks; none if no level needs the blocks."""
        if stage == self.num_stages - 1 and self.emits_before_blocks(stage):
            return []
        return self.drop_path_rates()[stage]
