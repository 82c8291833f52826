"""Load checkpoints strictly: recognise their format, convert, load and report.

A checkpoint that does not cover the backbone is refused with the first keys that do not fit;
nothing is loaded partially.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import update_init_info
from torch import nn

from mmvmlp.backbones.base import (
    NUM_LEVELS,
    VisionMLP,
    find_backbone,
    registered_families,
)
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.checkpoints.adapting import adapt_first_convolution, resample_token_mixing
from mmvmlp.checkpoints.published import checkpoint_file
from mmvmlp.checkpoints.reading import (
    SHOWN_KEYS,
    CheckpointError,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.checkpoints.report import (
    CheckpointReport,
    NamedTensors,
    compare,
    refuse_if_different,
)
from mmvmlp.registry import WEIGHT_INITIALIZERS


def load_checkpoint(
    model: nn.Module,
    checkpoint: str | Path | Mapping[str, Any],
    *,
    use_ema: bool = False,
    resample_tokens: bool = False,
    adapt_stem: bool = False,
) -> CheckpointReport:
    """Load a checkpoint into a backbone, or into a model with one.

    Accepted are our own checkpoints, of a backbone or of a whole model, and the published formats
    of the backbone's family (``official_formats``). A classifier also loads the published head if
    the number of classes is the same. A published detector or segmentor, which mmdet 2 or mmseg 0
    saved, must match the whole model. On an error the model is unchanged.

    Args:
        model: A :class:`~mmvmlp.VisionMLP`, or a classifier, detector or segmentor whose
            ``backbone`` is one.
        checkpoint: A file, an http(s) URL, the name of published weights
            (:func:`mmvmlp.list_weights`), or the contents of a checkpoint.
        use_ema: True to load the exponential moving average of the weights (``state_dict_ema``),
            which training scripts with EMA save beside them.
        resample_tokens: True to resample token mixing of another native size, as if the
            checkpoint's network ran at this size with ``resolution='resize'``. By default, such a
            checkpoint is refused.
        adapt_stem: True to adapt the first convolution to another number of image channels: for one
            channel, the sum of its weights over the checkpoint's channels; for others, its weights
            repeated in turn, and scaled to keep their sum for images of equal channels (timm's
            ``adapt_input_conv``). By default, such a checkpoint is refused.

    Returns:
        Keys that matched, were missing or unexpected, or differed in shape; also logged.

    Raises:
        FileNotFoundError: If the file does not exist, or was never released.
        ValueError: If ``resample_tokens`` is True and the network has no token mixing of a native
            size, or such whose hidden features grow with it (RaftMLP).
        CheckpointError: If it cannot be downloaded or read, is of an unknown format or another
            family, does not cover the backbone (except for heads and norms of emitted levels), has
            blocks that the backbone lacks, or has no moving average that was asked for.
    """
    backbone, prefix = find_backbone(model)
    if not isinstance(checkpoint, Mapping):
        checkpoint = checkpoint_file(checkpoint)
    origin = '' if isinstance(checkpoint, Mapping) else f' {str(checkpoint)!r}'
    contents = checkpoint if isinstance(checkpoint, Mapping) else read_checkpoint(checkpoint)
    file = None if isinstance(checkpoint, Mapping) else checkpoint
    tensors = extract_state_dict(contents, file, use_ema)
    official = _recognise(tensors, backbone, origin)
    expected = model.state_dict()
    if official is None:
        named = _our_tensors(tensors, prefix)
    else:
        named = official_tensors(official, tensors, backbone, prefix, expected)
    if resample_tokens:
        resample_token_mixing(backbone, prefix, named, official)
    if adapt_stem:
        adapt_first_convolution(backbone, prefix, named, official)
    report = compare(
        source=('mmvmlp checkpoint' if official is None else official.name) + origin,
        named=named,
        expected=expected,
    )
    if official is not None and prefix and _is_published_model(tensors):
        refuse_if_different(
            report,
            model,
            'nothing was loaded. Load it into model.backbone to take its backbone only.',
        )
    _refuse_if_partial(report, backbone, prefix, named)
    matched = set(report.matched)
    with torch.no_grad():
        for key, (_, tensor) in named.items():
            if key in matched:
                expected[key].copy_(tensor)
    complete = not (report.missing or report.mismatched)
    print_log(str(report), logger='current', level=logging.INFO if complete else logging.WARNING)
    return report


def _recognise(
    tensors: Mapping[str, torch.Tensor], backbone: VisionMLP, origin: str
) -> OfficialFormat | None:
    if 'stem.conv.weight' in tensors or 'backbone.stem.conv.weight' in tensors:
        return None
    for family in (type(backbone), *registered_families()):
        for official in family.official_formats:
            if not {official.signature, f'backbone.{official.signature}'} & tensors.keys():
                continue
            if family is type(backbone):
                return official
            raise CheckpointError(
                f'checkpoint{origin} is of another network: {official.name}; the model is a '
                f'{type(backbone).__name__}'
            )
    known = ', '.join(official.name for official in type(backbone).official_formats)
    raise CheckpointError(
        f'checkpoint{origin} is of another network: its first keys are '
        f"{list(tensors)[:SHOWN_KEYS]}; a {type(backbone).__name__} takes mmvmlp's own checkpoints"
        + (f' and {known}' if known else '')
    )


def _our_tensors(tensors: Mapping[str, torch.Tensor], prefix: str) -> NamedTensors:
    whole_model = any(key.startswith('backbone.') for key in tensors)
    if not whole_model:
        return {prefix + key: (key, tensor) for key, tensor in tensors.items()}
    if prefix:
        return {key: (key, tensor) for key, tensor in tensors.items()}
    return {
        key.removeprefix('backbone.'): (key, tensor)
        for key, tensor in tensors.items()
        if key.startswith('backbone.')
    }


def official_tensors(
    official: OfficialFormat,
    tensors: Mapping[str, torch.Tensor],
    backbone: VisionMLP,
    prefix: str,
    expected: Mapping[str, torch.Tensor],
) -> NamedTensors:
    """Convert a published checkpoint to our names and layout.

    Args:
        official: Its format.
        tensors: Tensors of a backbone or classifier, or of a whole model under ``backbone.``.
        backbone: The backbone that takes them.
        prefix: Prefix of the backbone's keys in our model; empty for a backbone alone.
        expected: Tensors of our model by key.
    """
    start = 'backbone.' if any(key.startswith('backbone.') for key in tensors) else ''
    published = {
        key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)
    }
    shapes = {key.removeprefix(prefix): tensor for key, tensor in expected.items()}
    named = {
        name if name.startswith('head.') else prefix + name: (start + own, tensor)
        for name, (own, tensor) in backbone.converted(official, published, shapes).items()
    }
    if prefix:
        # Necks and heads are the toolboxes' own, whose keys are those of mmdet 2 and mmseg 0.
        others = {key: (key, value) for key, value in tensors.items() if not key.startswith(start)}
        named.update(others)
    return named


def _is_published_model(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return True for the tensors of a backbone with a neck or head, in the toolboxes' names."""
    parts = {key.partition('.')[0] for key in tensors}
    return 'backbone' in parts and len(parts) > 1


def _refuse_if_partial(
    report: CheckpointReport, backbone: VisionMLP, prefix: str, named: NamedTensors
) -> None:
    """Raise if the backbone would be loaded only partially, or the checkpoint has more layers."""
    level_norms = tuple(f'{prefix}norm{level}.' for level in range(NUM_LEVELS))
    own_layers = (
        f'{prefix}stem.',
        # A stage whose level is what enters its blocks may have none.
        *(
            f'{prefix}stages.{index}.' if stage.blocks else f'{prefix}stages.{index}.downsample.'
            for index, stage in enumerate(backbone.stages)
        ),
    )
    missing = [
        key
        for key in report.missing
        if key.startswith(prefix)
        and not key.startswith(level_norms)
        and not key.endswith('.num_batches_tracked')
    ]
    mismatched = [entry for entry in report.mismatched if entry[0].startswith(prefix)]
    unexpected_keys = set(report.unexpected)
    surplus = [
        own
        for key, (own, _) in named.items()
        if own in unexpected_keys and key.startswith(own_layers)
    ]
    if missing or mismatched or surplus:
        misfit = CheckpointReport(
            report.source, report.matched, tuple(missing), tuple(surplus), tuple(mismatched)
        )
        raise CheckpointError(
            f'the checkpoint does not fit this {type(backbone).__name__}; nothing was loaded. '
            'Is it for another variant?\n'
            f'{misfit}'.replace('tensors loaded', 'tensors fit')
        )


@WEIGHT_INITIALIZERS.register_module()
class OfficialPretrained:
    """Initialises a backbone strictly from a published checkpoint or one of ours.

    For configs: ``init_cfg=dict(type='mmvmlp.OfficialPretrained', checkpoint='...')``. Unlike
    mmengine's ``Pretrained``, it raises if the checkpoint does not fit; see
    :func:`load_checkpoint`.

    Args:
        checkpoint: A file, an http(s) URL, or the name of published weights.
        use_ema: True to load the exponential moving average of the weights.
        resample_tokens: True to resample token mixing of another native size.
        adapt_stem: True to adapt the first convolution to another number of image channels.
    """

    def __init__(
        self,
        checkpoint: str,
        use_ema: bool = False,
        resample_tokens: bool = False,
        adapt_stem: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.use_ema = use_ema
        self.resample_tokens = resample_tokens
        self.adapt_stem = adapt_stem

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into a module, and record it in mmengine's log of initialisation."""
        load_checkpoint(
            module,
            self.checkpoint,
            use_ema=self.use_ema,
            resample_tokens=self.resample_tokens,
            adapt_stem=self.adapt_stem,
        )
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'OfficialPretrained: loaded {self.checkpoint}')
