"""Arguments, image sizes and dtypes of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from development.fuzz.trials import accepted
from development.fuzz.values import ODD_VALUES
from mmvmlp.backbones.base import registered_families

DTYPES = [
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    *(torch.uint8, torch.int64, torch.bool, torch.complex64),
]
NAMES = [
    *('out_indices', 'resolution', 'out_norm', 'in_channels', 'drop_path_rate', 'frozen_stages'),
    *('norm_eval', 'with_cp', 'init_cfg', 'arch', 'norm_cfg'),
]
FAMILIES = {family.__name__: family for family in registered_families()}


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    family = draw(st.sampled_from(sorted(FAMILIES)))
    side = st.one_of(
        *[st.integers(64, 160)] * 3, st.integers(0, 64), st.sampled_from([31, 32, 33, 10_000])
    )
    height, width = draw(side), draw(side)
    # At most one side is long.
    width = min(width, 160) if height > 160 else width
    fields = sorted(FAMILIES[family].small_arch)
    case: dict[str, Any] = {
        'family': family,
        'arguments': {},
        'field': None,
        'shape': (draw(st.integers(1, 2)), 3, height, width),
        'dtype': torch.float32,
        'layout': draw(st.sampled_from(['contiguous', 'channels_last', 'transposed', 'expanded'])),
        'kind': 'tensor',
        'training': draw(st.booleans()),
    }
    odd = {
        'arguments': st.dictionaries(st.sampled_from(NAMES), ODD_VALUES, min_size=1, max_size=2),
        'field': st.tuples(st.sampled_from(fields), ODD_VALUES),
        'shape': st.one_of(
            st.tuples(st.integers(0, 2), st.integers(0, 5), st.just(height), st.just(width)),
            st.lists(st.integers(0, 40), max_size=5).map(tuple),
        ),
        'dtype': st.sampled_from(DTYPES),
        'kind': st.sampled_from(['array', 'list', 'none']),
        'training': st.booleans(),
    }
    # One or two things are odd, so that the others are reached.
    for name in draw(st.lists(st.sampled_from(sorted(odd)), max_size=2)):
        case[name] = draw(odd[name])
    return case


class Networks:
    """Builds a small network of any family, and runs it forward and, in training, backward."""

    name = 'arguments, sizes and dtypes of networks'
    inputs = _cases()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempt(self, value: dict[str, Any]) -> bool:
        return accepted(lambda: self._run(value))

    def _run(self, value: dict[str, Any]) -> None:
        family = FAMILIES[value['family']]
        arch = dict(family.small_arch)
        if value['field']:
            name, odd = value['field']
            arch[name] = odd
        backbone = family(**{'arch': arch, **value['arguments']})
        backbone.train(value['training'])
        maps = backbone(_image(value))
        for level, info in zip(maps, backbone.feature_info, strict=True):
            assert level.shape[1] == info.channels
        if value['training']:
            sum(level.float().square().mean() for level in maps).backward()


def _image(value: dict[str, Any]) -> Any:
    shape, dtype = value['shape'], value['dtype']
    if value['kind'] == 'none':
        return None
    if value['layout'] == 'expanded':
        image = torch.zeros((1,) * len(shape), dtype=dtype).expand(shape)
    else:
        image = torch.zeros(shape, dtype=dtype)
        if value['layout'] == 'channels_last' and len(shape) == 4:
            image = image.contiguous(memory_format=torch.channels_last)
        elif value['layout'] == 'transposed' and len(shape) >= 2:
            image = image.transpose(-1, -2).contiguous().transpose(-1, -2)
    if value['kind'] == 'array':
        return np.zeros(shape, np.float32)
    if value['kind'] == 'list':
        return [image]
    return image
