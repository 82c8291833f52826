"""Values that follow from names: the weights and images of parity data, and what is kept of maps.

The program that makes the data and the tests that read it share these rules; data made by other
ones would compare nothing. tests/data/parity/README.md describes the files.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

SCALES = ('alpha', 'gamma_1', 'gamma_2')
"""Ends of keys of learnable scales, besides the one-dimensional weights of norms."""


def official_tensor(key: str, shape: Sequence[int]) -> torch.Tensor:
    """Return the value of an official tensor: random, but fixed by its key.

    Args:
        key: In the official state dict.
        shape: Of the official tensor.

    Returns:
        A float64 tensor, or the int64 zero of a batch norm's counter.
    """
    leaf = key.rpartition('.')[2]
    if leaf == 'num_batches_tracked':
        return torch.zeros((), dtype=torch.int64)
    generator = _generator(key)
    is_scale = leaf in SCALES or (leaf == 'weight' and len(shape) == 1)
    if is_scale or leaf == 'running_var':
        values = generator.uniform(0.5, 1.5, shape)
    elif leaf in ('bias', 'beta', 'running_mean'):
        values = 0.1 * generator.standard_normal(shape)
    else:
        values = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.reshape(np.asarray(values, dtype=np.float64), shape))


def images(batch: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Return standard-normal images (batch, 3, height, width), float64."""
    values = _generator(f'image-{seed}').standard_normal((batch, 3, height, width))
    return torch.from_numpy(values)


def thinned(feature_map: torch.Tensor) -> torch.Tensor:
    """Return a sample of a feature map (N, C, H, W): about 8 channels, 6 rows and 6 columns."""
    channel, row, column = (
        max(1, side // kept) for side, kept in zip(feature_map.shape[1:], (8, 6, 6), strict=True)
    )
    return feature_map[:, ::channel, ::row, ::column]


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
