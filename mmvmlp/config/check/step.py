"""Load a batch of each split, and run one training step."""

import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

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
    with error_as_finding(findings, 'a training step fails', '`mmvmlp train` prints the traceback'):
        with wrapper.optim_context(model):
            losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        loss, parts = model.parse_losses(losses)
        wrapper.backward(loss)
        wrapper.step()
    if findings:
        yield from findings
        return
    if not loss.isfinite():
        named = ', '.join(f'{name} {value}' for name, value in parts.items())
        yield Finding(True, f'the first losses are not finite: {named}', 'a lower learning rate')
    wrapped = config.get('model_wrapper_cfg') or {}
    if not (config.get('find_unused_parameters') or wrapped.get('find_unused_parameters')):
        yield from _without_gradient(model)


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
