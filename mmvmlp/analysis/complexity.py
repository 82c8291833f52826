"""Parameters and multiply-accumulate operations of a config's model, part by part, without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SHAPES = {'mmpretrain': (224, 224), 'mmdet': (800, 1280), 'mmseg': (512, 2048)}
"""Height and width of the image for which papers count, by toolbox."""


@dataclass(frozen=True)
class PartComplexity:
    """What a part of a model needs.

    Attributes:
        name: The part's name in the model.
        parameters: Numbers that training sets.
        macs: Multiply-accumulate operations (MACs) of the part when one image is predicted:
            products of its convolutions and linear layers, token mixing among them. Norms,
            activations, interpolation, shifts, pooling and RoIAlign have none.
    """

    name: str
    parameters: int
    macs: int


def count_complexity(
    config: Config, height: int, width: int, *, num_proposals: int = 1000, num_masks: int = 100
) -> list[PartComplexity]:
    """Count a model's parameters and MACs; nothing is computed, and no memory is taken.

    What papers print as FLOPs of classifiers, detectors and segmentors are these MACs, with the
    default numbers of proposals and masks, and without the auxiliary head of a segmentor, which
    only training uses.

    Args:
        config: Of a classifier of mmpretrain, a detector of mmdet that has dense heads, RoI heads
            or both, or a segmentor of mmsegmentation.
        height: Of the image in pixels.
        width: Of the image in pixels.
        num_proposals: Regions that a RoI head classifies.
        num_masks: Regions that a RoI head segments.

    Returns:
        The parts, in the order in which an image passes them.

    Raises:
        ValueError: If a number is not accepted, or the model is not built of these parts.
    """
    numbers = {
        'height': height,
        'width': width,
        'num_proposals': num_proposals,
        'num_masks': num_masks,
    }
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f'{name}={value!r}: a number above 0 is accepted')
    model = _built_model(config)
    parts = [
        PartComplexity(name, sum(p.numel() for p in module.parameters()), macs)
        for name, module, macs in _counted(model, height, width, num_proposals, num_masks)
    ]
    missing = sum(p.numel() for p in model.parameters()) - sum(part.parameters for part in parts)
    if missing:
        raise ValueError(
            f'a {type(model).__name__} has {missing} parameters outside '
            f'{", ".join(part.name for part in parts)}: models of only these parts are accepted'
        )
    return parts


def default_shape(config: Config) -> tuple[int, int]:
    """Return height and width of the image for which papers count, by a config's toolbox.

    Raises:
        ValueError: If the config names none of the toolboxes.
    """
    scope = config.get('default_scope')
    if scope not in SHAPES:
        raise ValueError(
            f'default_scope={scope!r}: only with {", ".join(map(repr, SHAPES))} is the size of the '
            'image known; give one by --shape HEIGHT WIDTH'
        )
    return SHAPES[scope]


def _built_model(config: Config) -> Any:
    """Build a config's model without its weights."""
    settings, scope = config.get('model'), config.get('default_scope')
    if not isinstance(settings, Mapping) or 'type' not in settings:
        raise ValueError(f"the config's model={settings!r}: a mapping with a 'type' is accepted")
    init_default_scope(scope or 'mmengine')
    try:
        with torch.device('meta'):
            return MODELS.build(deepcopy(settings)).eval()
    except KeyError as error:
        # mmengine's error for a type that no registry of the scope has.
        raise ValueError(
            f"the config's model cannot be built with default_scope={scope!r}: {error.args[0]}"
        ) from error


def _counted(
    model: Any, height: int, width: int, num_proposals: int, num_masks: int
) -> Iterator[tuple[str, nn.Module, int]]:
    """Send an image through a model, and yield each part with its MACs."""
    if not hasattr(model, 'backbone'):
        raise ValueError(f'a {type(model).__name__} has no backbone: it cannot be counted')
    maps: Any = torch.empty(1, 3, height, width, device='meta')
    for name in ('backbone', 'neck'):
        if getattr(model, name, None) is not None:
            maps, macs = _macs(getattr(model, name), maps)
            yield name, getattr(model, name), macs
    for name in ('head', 'decode_head', 'rpn_head', 'bbox_head'):
        if getattr(model, name, None) is not None:
            yield name, getattr(model, name), _macs(getattr(model, name), maps)[1]
    if getattr(model, 'auxiliary_head', None) is not None:
        yield 'auxiliary_head', model.auxiliary_head, 0
    for kind, number in (('bbox', num_proposals), ('mask', num_masks)):
        heads = getattr(getattr(model, 'roi_head', None), f'{kind}_head', None)
        if heads is not None:
            extractors = getattr(model.roi_head, f'{kind}_roi_extractor')
            stages = zip(_stages(heads), _stages(extractors), strict=True)
            macs = sum(_macs(head, _regions(extractor, number))[1] for head, extractor in stages)
            yield f'roi_head.{kind}_head', heads, macs


def _stages(module: nn.Module) -> list[Any]:
    """Return the stages of a cascade, or the one there is."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _regions(extractor: Any, number: int) -> torch.Tensor:
    height, width = extractor.roi_layers[0].output_size
    return torch.empty(number, extractor.out_channels, height, width, device='meta')


@torch.no_grad()
def _macs(part: Callable[[Any], Any], x: Any) -> tuple[Any, int]:
    with FlopCounterMode(display=False) as counter:
        output = part(x)
    # The counter takes a product and its addition for two.
    return output, counter.get_total_flops() // 2
