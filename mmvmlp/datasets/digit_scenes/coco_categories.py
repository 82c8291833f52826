"""Category tables for the COCO layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Categories = Literal['digits', 'coco80']

DIGIT_NAMES = tuple('0123456789')

# COCO's identifiers run from 1 to 90 with gaps; empty names are unused identifiers.
_COCO_NAMES_BY_GROUP = {
    'person': 'person',
    'vehicle': 'bicycle,car,motorcycle,airplane,bus,train,truck,boat',
    'outdoor': 'traffic light,fire hydrant,,stop sign,parking meter,bench',
    'animal': 'bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe',
    'accessory': ',backpack,umbrella,,,handbag,tie,suitcase',
    'sports': (
        'frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,'
        'surfboard,tennis racket'
    ),
    'kitchen': 'bottle,,wine glass,cup,fork,knife,spoon,bowl',
    'food': 'banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake',
    'furniture': 'chair,couch,potted plant,bed,,dining table,,,toilet,',
    'electronic': 'tv,laptop,mouse,remote,keyboard,cell phone',
    'appliance': 'microwave,oven,toaster,sink,refrigerator,',
    'indoor': 'book,clock,vase,scissors,teddy bear,hair drier,toothbrush',
}


@dataclass(frozen=True)
class Category:
    """A category as listed in COCO's JSON."""

    id: int
    name: str
    supercategory: str


def list_categories(categories: Categories) -> tuple[Category, ...]:
    """List the categories of a table.

    Args:
        categories: 'digits' for ten categories with identifiers 1 to 10, or 'coco80' for COCO's
            80 categories with COCO's identifiers.

    Returns:
        Categories, ordered by identifier.
    """
    if categories == 'digits':
        return tuple(Category(d + 1, name, 'digit') for d, name in enumerate(DIGIT_NAMES))
    slots = [
        (name, group) for group, names in _COCO_NAMES_BY_GROUP.items() for name in names.split(',')
    ]
    return tuple(
        Category(position, name, group)
        for position, (name, group) in enumerate(slots, start=1)
        if name
    )


def category_of_digit(digit: int, categories: Categories) -> Category:
    """Return the category of a digit.

    Args:
        digit: 0 to 9.
        categories: 'digits' or 'coco80'.

    Returns:
        The digit's own category, or for 'coco80' every eighth category of COCO, so that
        identifiers and positions differ as they do in COCO.
    """
    table = list_categories(categories)
    return table[digit * (len(table) // 10)]
