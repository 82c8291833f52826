"""Masks as COCO's compressed run lengths, as text for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def encode_mask(mask: Mask) -> dict[str, Any]:
    """Encode a mask of shape (H, W)."""
    from pycocotools import mask as coco_mask

    return _as_text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode_mask(run_lengths: dict[str, Any]) -> Mask:
    """Decode a mask to shape (H, W)."""
    from pycocotools import mask as coco_mask

    decoded: Mask = coco_mask.decode(run_lengths).astype(bool)
    return decoded


def move_mask(
    run_lengths: dict[str, Any], left: int, top: int, height: int, width: int
) -> dict[str, Any]:
    """Move the mask of a part of an image to its place, without decoding the whole image.

    Args:
        run_lengths: The mask of the part.
        left: Column of the part's left side.
        top: Row of its upper side.
        height: Height of the image.
        width: Its width.
    """
    from pycocotools import mask as coco_mask

    mask = decode_mask(run_lengths)
    filled = np.flatnonzero(mask.any(axis=0))
    first, last = (filled[0], filled[-1]) if len(filled) else (0, 0)
    mask, left = mask[:, first : last + 1], left + int(first)
    # Run lengths go down the columns: those of other columns are one run.
    columns = np.zeros((mask.shape[1], height), dtype=bool)
    columns[:, top : top + mask.shape[0]] = mask.T
    before, after = height * left, height * (width - left - mask.shape[1])
    changes = before + 1 + np.flatnonzero(np.diff(columns.ravel()))
    edges = [before] * bool(columns[0, 0]) + changes.tolist()
    ends = [before + columns.size] * bool(columns[-1, -1])
    counts = np.diff([0, *edges, *ends, before + columns.size + after]).tolist()
    if not counts[-1]:
        counts.pop()
    return _as_text(
        coco_mask.frPyObjects({'size': [height, width], 'counts': counts}, height, width)
    )


def _as_text(encoded: dict[str, Any]) -> dict[str, Any]:
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode('ascii')}
