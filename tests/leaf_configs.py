"""The configs under ``configs/``, by what they have in common."""

import re
from collections import defaultdict
from pathlib import Path

from mmvmlp.backbones.base import registered_families

# Ends of the names of configs for other data sets than the method's usual one.
OTHER_DATA = ('_cityscapes', '_voc', '_lvis', '_objects365')

CONFIGS = sorted(Path(__file__).parents[1].joinpath('configs').glob('*.py'))


def by_method_and_family() -> dict[str, list[Path]]:
    """Group the configs that differ in the size of their network only.

    The name of a group is that of its configs without the size, as in ``mask_rcnn_hire_mlp_3x``.
    """
    prefixes = [family.name_prefix for family in registered_families()]
    # The longest first: S²-MLPv2 is no S²-MLP.
    families = '|'.join(sorted(prefixes, key=len, reverse=True))
    endings = '|'.join(('_3x', '_160k', '(?:_nano)?_digits', '_finetune', '_distill', *OTHER_DATA))
    groups = defaultdict(list)
    for path in CONFIGS:
        name = re.fullmatch(rf'(\w+?_(?:{families}))(?:_\w+?)??({endings})?', path.stem)
        groups[name[1] + (name[2] or '')].append(path)
    return dict(groups)
