"""Tiles of large images, and one result from the predictions of all.

Why not mmdet's ``large_image``: it needs SAHI, gives every mask the size of the whole image, and
keeps both the whole object of one tile and its cut half of the next: these share too little for
non-maximum suppression, and a half may look like another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from mmengine.structures import InstanceData

from mmvmlp.inference.run_lengths import move_mask

SHARE_OF_THE_SAME = 0.5
"""Two boxes of different tiles are of one object if they share this part of the smaller one."""

BORDER_SHARE = 0.01
"""A box is cut if it ends this near to the side of its tile, as a share of the tile."""


class Tile(NamedTuple):
    """A part of an image, in pixels; `right` and `bottom` are not in it."""

    left: int
    top: int
    right: int
    bottom: int


class Tiling(NamedTuple):
    """Size of square tiles and by how much neighbours overlap, in pixels."""

    size: int
    overlap: int

    def check(self) -> None:
        """Check that there can be such tiles.

        Raises:
            ValueError: If not.
        """
        if self.size < 1:
            raise ValueError(f'tile={self.size}: a side of at least 1 pixel is accepted')
        if not 0 <= self.overlap < self.size:
            raise ValueError(
                f'tile_overlap={self.overlap}: accepted are 0 to {self.size - 1} pixels, less than '
                'the tile'
            )

    def tiles(self, shape: tuple[int, ...]) -> list[Tile]:
        """List the tiles of an image, which are of one size unless the image is smaller.

        Args:
            shape: Of the image's array, height and width first.
        """
        height, width = shape[:2]
        return [
            Tile(left, top, min(left + self.size, width), min(top + self.size, height))
            for top, left in product(self._starts(height), self._starts(width))
        ]

    def _starts(self, length: int) -> list[int]:
        last = max(length - self.size, 0)
        return [*range(0, last, self.size - self.overlap), last]


def merge_instances(
    parts: Sequence[InstanceData], tiling: Tiling, shape: tuple[int, ...]
) -> InstanceData:
    """Merge the instances that were found in the tiles of an image.

    A box that a tile cuts is left to the neighbour if it is inside what both share: the neighbour
    sees more of it. Of the others that share half of the smaller box and have one class, but are of
    different tiles, one is kept: one that no tile cuts, if there is one, with the highest score.

    Args:
        parts: For each tile ``bboxes``, ``labels``, ``scores`` and, if the detector has them,
            ``masks`` as run lengths.
        tiling: The tiles.
        shape: Of the image's array, height and width first.

    Returns:
        The instances in pixels of the image, the highest score first.
    """
    height, width = shape[:2]
    tiles = tiling.tiles(shape)
    origins = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    ends = np.array(tiles)[origins]
    boxes = np.concatenate([part.bboxes for part in parts]) + np.tile(ends[:, :2], 2)
    labels = np.concatenate([part.labels for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    inner = ends != [0, 0, width, height]
    cut = inner & (np.abs(boxes - ends) <= BORDER_SHARE * tiling.size)
    # How far each box reaches into the tile from each side.
    reach = np.abs(boxes[:, [2, 3, 0, 1]] - ends)
    candidates = np.flatnonzero(~(cut & (reach <= tiling.overlap)).any(axis=1))
    order = np.lexsort((-scores[candidates], cut[candidates].any(axis=1)))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    is_kept = np.zeros(len(scores), dtype=bool)
    for index in candidates[order]:
        rivals = is_kept & (labels == labels[index]) & (origins != origins[index])
        shared = _shared_areas(boxes[index], boxes[rivals])
        is_kept[index] = not (
            shared > SHARE_OF_THE_SAME * np.minimum(areas[index], areas[rivals])
        ).any()
    kept = np.flatnonzero(is_kept)
    kept = kept[np.argsort(-scores[kept], kind='stable')]
    merged = InstanceData(
        bboxes=boxes[kept].astype(np.float32), labels=labels[kept], scores=scores[kept]
    )
    if all('masks' in part for part in parts):
        masks: list[Any] = [mask for part in parts for mask in part.masks]
        merged.masks = [
            move_mask(
                masks[each], tiles[origins[each]].left, tiles[origins[each]].top, height, width
            )
            for each in kept
        ]
    return merged


def merge_index_maps(
    parts: Sequence[npt.NDArray[Any]], tiling: Tiling, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Put the index maps of an image's tiles together, each pixel from the tile it is deepest in.

    Args:
        parts: The index map of each tile.
        tiling: The tiles.
        shape: Of the image's array, height and width first.
    """
    tiles = tiling.tiles(shape)
    merged = np.zeros(shape[:2], dtype=np.result_type(*parts))
    rows = _ends_halfway(sorted({(tile.top, tile.bottom) for tile in tiles}))
    columns = _ends_halfway(sorted({(tile.left, tile.right) for tile in tiles}))
    for part, tile in zip(parts, tiles, strict=True):
        top, bottom = rows[tile.top]
        left, right = columns[tile.left]
        merged[top:bottom, left:right] = part[
            top - tile.top : bottom - tile.top, left - tile.left : right - tile.left
        ]
    return merged


def _ends_halfway(spans: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Let each span end in the middle of what it shares with the next, by its start."""
    middles = [(after[0] + before[1]) // 2 for before, after in zip(spans, spans[1:], strict=False)]
    ends = zip([spans[0][0], *middles], [*middles, spans[-1][1]], strict=True)
    return {span[0]: end for span, end in zip(spans, ends, strict=True)}


def _shared_areas(
    box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    corners = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared: npt.NDArray[np.float64] = (corners[1] - corners[0]).clip(min=0).prod(axis=1)
    return shared
