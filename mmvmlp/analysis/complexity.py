"""Count the parameters and multiply-accumulate operations of each part of a config's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SHAPES = {'mmpretrain': (224, 224), 'mmdet': (800, 1280), 'mmseg': (512, 2048)}
"""Height and width of the image in papers, by toolbox."""


@dataclass(frozen=True)
class PartComplexity:
    """Complexity of a part of a model.

    Attributes:
        name: Name of the part in the model.
        parameters: Number of learnable parameters.
        macs: Multiply-accumulate operations (MACs) for predicting one image: those of convolutions
            and linear layers, including token mixing. Norms, activations, interpolation, shifts,
            pooling and RoIAlign count as zero.
    """

    name: str
    parameters: int
    macs: int


def count_complexity(
    config: Config, height: int, width: int, *, num_proposals: int = 1000, num_masks: int = 100
) -> list[PartComplexity]:
    """Count the parameters and MACs of a model on the meta device.

    Papers report these MACs as FLOPs, with the default numbers of proposals and masks, and without
    the auxiliary head of a segmentor, which only training uses.

    Args:
        config: Config of an mmpretrain classifier, an mmdet detector with dense heads, RoI heads,
            a transformer or mask queries, or an mmsegmentation segmentor.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        num_proposals: Regions classified by a RoI head.
        num_masks: Regions segmented by a RoI head.

    Returns:
        Parts in forward order.

    Raises:
        ValueError: If a number is not accepted, or the model has other parts.
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
            f'{type(model).__name__} has {missing} parameters outside '
            f'{", ".join(part.name for part in parts)}; models with only these parts are accepted'
        )
    return parts


def default_shape(config: Config) -> tuple[int, int]:
    """Return the height and width of the image in papers, by a config's toolbox.

    Raises:
        ValueError: If ``default_scope`` is not a toolbox.
    """
    scope = config.get('default_scope')
    if scope not in SHAPES:
        raise ValueError(
            f'default_scope={scope!r}: the image size is known only for '
            f'{", ".join(map(repr, SHAPES))}; set it with --shape HEIGHT WIDTH'
        )
    return SHAPES[scope]


def _built_model(config: Config) -> Any:
    """Build a config's model on the meta device."""
    settings, scope = config.get('model'), config.get('default_scope')
    if not isinstance(settings, Mapping) or 'type' not in settings:
        raise ValueError(f"the config's model={settings!r}: a mapping with a 'type' is accepted")
    init_default_scope(scope or 'mmengine')
    try:
        with torch.device('meta'):
            return MODELS.build(deepcopy(settings)).eval()
    except KeyError as error:
        # mmengine's error for a type that is not registered in the scope.
        raise ValueError(
            f"the config's model cannot be built with default_scope={scope!r}: {error.args[0]}"
        ) from error


def _counted(
    model: Any, height: int, width: int, num_proposals: int, num_masks: int
) -> Iterator[tuple[str, nn.Module, int]]:
    """Run an image through a model, and yield each part with its MACs."""
    if not hasattr(model, 'backbone'):
        raise ValueError(f'{type(model).__name__} has no backbone: a model with one is accepted')
    maps: Any = torch.empty(1, 3, height, width, device='meta')
    for name in ('backbone', 'neck'):
        if getattr(model, name, None) is not None:
            maps, macs = _macs(getattr(model, name), maps)
            yield name, getattr(model, name), macs
    if hasattr(model, 'forward_transformer'):
        yield from _counted_transformer(model, maps, height, width)
        return
    for name in ('head', 'decode_head', 'rpn_head', 'bbox_head', 'panoptic_head'):
        head = getattr(model, name, None)
        if hasattr(head, 'transformer_decoder'):
            head, maps = _on_cpu(head, maps)
            yield name, head, _macs(partial(head, batch_data_samples=[]), maps)[1]
        elif head is not None:
            yield name, head, _macs(head, maps)[1]
    if getattr(model, 'auxiliary_head', None) is not None:
        yield 'auxiliary_head', model.auxiliary_head, 0
    for kind, number in (('bbox', num_proposals), ('mask', num_masks)):
        heads = getattr(getattr(model, 'roi_head', None), f'{kind}_head', None)
        if heads is not None:
            extractors = getattr(model.roi_head, f'{kind}_roi_extractor')
            stages = zip(_stages(heads), _stages(extractors), strict=True)
            macs = sum(_macs(head, _regions(extractor, number))[1] for head, extractor in stages)
            yield f'roi_head.{kind}_head', heads, macs


def _counted_transformer(
    model: Any, maps: Sequence[torch.Tensor], height: int, width: int
) -> Iterator[tuple[str, nn.Module, int]]:
    """Run feature maps through a detection transformer, and yield each part with its MACs."""
    from mmdet.structures import DetDataSample

    shape = (height, width)
    sample = DetDataSample(metainfo={'img_shape': shape, 'batch_input_shape': shape})
    tokens = sum(each.shape[2] * each.shape[3] for each in maps)
    if tokens < model.num_queries:
        raise ValueError(
            f'height={height}, width={width}: the {tokens} positions of the feature maps are fewer '
            f'than the {model.num_queries} queries of {type(model).__name__}; a larger image is '
            'accepted'
        )
    model, maps = _on_cpu(model, maps)
    encoder_inputs, decoder_inputs = model.pre_transformer(maps, [sample])
    memory, macs = _macs(lambda inputs: model.forward_encoder(**inputs), encoder_inputs)
    yield 'encoder', model.encoder, macs
    (queries, head_inputs), macs = _macs(lambda memory: model.pre_decoder(**memory), memory)
    others = ('backbone', 'neck', 'encoder', 'decoder', 'bbox_head')
    selection = nn.Module()
    for name, child in model.named_children():
        if name not in others:
            selection.add_module(name, child)
    for name, parameter in model.named_parameters(recurse=False):
        selection.register_parameter(name, parameter)
    yield 'query_selection', selection, macs
    outputs, macs = _macs(
        lambda inputs: model.forward_decoder(**inputs), {**decoder_inputs, **queries}
    )
    yield 'decoder', model.decoder, macs
    head = model.bbox_head
    macs = _macs(lambda inputs: head.forward(**inputs), {**head_inputs, **outputs})[1]
    yield 'bbox_head', head, macs


def _on_cpu(module: Any, maps: Sequence[torch.Tensor]) -> tuple[Any, list[torch.Tensor]]:
    """Return a module and feature maps with zeros instead of meta tensors.

    Deformable attention computes its shapes from tensors.
    """
    module = module.to_empty(device='cpu')
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    return module, [torch.zeros(each.shape) for each in maps]


def _stages(module: nn.Module) -> list[Any]:
    """Return the stages of a cascade, or a single stage."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _regions(extractor: Any, number: int) -> torch.Tensor:
    height, width = extractor.roi_layers[0].output_size
    return torch.empty(number, extractor.out_channels, height, width, device='meta')


@torch.no_grad()
def _macs(part: Callable[[Any], Any], x: Any) -> tuple[Any, int]:
    with FlopCounterMode(display=False) as counter:
        output = part(x)
    # The counter counts a multiplication and its addition as two.
    return output, counter.get_total_flops() // 2
