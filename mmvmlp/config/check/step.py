"""Load a batch of each split, and run one training step."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.config.check.finding import Finding, error_as_finding, shown
from mmvmlp.necks import SimplePyramid

IMAGES_IN_STEP = 2


def load_batch(split: str, loader: DataLoader[Any], findings: list[Finding]) -> Any:
    """Load a small batch in this process, or return None on failure."""
    batch: Any = None
    dataset: Any = loader.dataset
    with error_as_finding(
        findings,
        f'{split}_dataloader: the pipeline fails on an image',
        'check the pipeline and the file that the error names',
    ):
        batch = loader.collate_fn(
            [dataset[index % len(dataset)] for index in range(IMAGES_IN_STEP)]
        )
    return batch


def train_step(config: Config, runner: Runner, batch: Any) -> Iterator[Finding]:
    """Run one training step, and find non-finite losses and unused parameters."""
    model, wrapper = runner.model, runner.optim_wrapper
    findings: list[Finding] = []
    with error_as_finding(findings, 'weights cannot be initialised', 'check init_cfg'):
        model.init_weights()
    model.train()
    wrong: list[str] = []
    hooks = [
        module.register_forward_hook(
            lambda backbone, given, maps: wrong.extend(_wrong_levels(backbone, given[0], maps))
        )
        for module in model.modules()
        if isinstance(module, VisionMLP)
    ]
    with error_as_finding(findings, 'a training step fails', '`mmvmlp train` prints the traceback'):
        with wrapper.optim_context(model):
            losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        loss, parts = model.parse_losses(losses)
        wrapper.backward(loss)
        wrapper.step()
    for hook in hooks:
        hook.remove()
    if wrong:
        yield Finding(
            True,
            '; '.join(dict.fromkeys(wrong)),
            'the channels and strides of the maps in levels()',
        )
        return
    if findings:
        yield from findings
        return
    if not loss.isfinite():
        named = ', '.join(f'{name} {value}' for name, value in parts.items())
        yield Finding(True, f'the first losses are not finite: {named}', 'a lower learning rate')
    wrapped = config.get('model_wrapper_cfg') or {}
    if not (config.get('find_unused_parameters') or wrapped.get('find_unused_parameters')):
        yield from _without_gradient(model)


def _wrong_levels(
    backbone: VisionMLP, images: torch.Tensor, maps: Sequence[torch.Tensor]
) -> Iterator[str]:
    """Compare feature maps with what the backbone states about them."""
    size = tuple(images.shape[2:])
    for level, (info, emitted) in enumerate(zip(backbone.feature_info, maps, strict=True)):
        # Sides that a stride does not divide are rounded.
        near = all(
            abs(whole / info.stride - side) <= 1
            for whole, side in zip(size, emitted.shape[2:], strict=True)
        )
        if not near or emitted.shape[1] != info.channels:
            yield (
                f'{type(backbone).__name__}: of an image of {size}, map {level} has the shape '
                f'{tuple(emitted.shape[1:])}, but levels() states {info}'
            )


def _without_gradient(model: Any) -> Iterator[Finding]:
    unused = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    for prefix, neck in model.named_modules():
        if isinstance(neck, SimplePyramid):
            levels = re.compile(re.escape(prefix) + r'\.levels\.(\d+)\.')
            without = {int(match[1]) for match in map(levels.match, unused) if match}
            kept = [info for index, info in enumerate(neck.feature_info) if index not in without]
            if without:
                yield Finding(
                    True,
                    _no_gradient([name for name in unused if levels.match(name)]),
                    f'out_strides={tuple(info.stride for info in kept)!r} in SimplePyramid, and '
                    f'start_level=0, in_channels={[info.channels for info in kept]!r} in the neck '
                    'after it',
                )
                unused = [name for name in unused if not levels.match(name)]
    if unused:
        yield Finding(
            True,
            _no_gradient(unused),
            'out_indices with only the levels that are used, or find_unused_parameters=True',
        )


def _no_gradient(names: list[str]) -> str:
    return f'no gradient reaches {shown(names)}: distributed training fails on unused parameters'
