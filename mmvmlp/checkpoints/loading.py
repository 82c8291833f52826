"""Load checkpoints strictly: recognise their format, convert, load and report.

A checkpoint that does not cover the backbone is refused with the first keys that do not fit;
nothing is loaded partially.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from mmengine.runner import CheckpointLoader
from torch import nn

from mmvmlp.backbones.base import (
    NUM_LEVELS,
    VisionMLP,
    find_backbone,
    registered_families,
)
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.backbones.pretrained import is_pretrained
from mmvmlp.checkpoints.published import checkpoint_file
from mmvmlp.checkpoints.reading import (
    SHOWN_KEYS,
    CheckpointError,
    extract_state_dict,
    read_checkpoint,
)
from mmvmlp.ops import AxialMixing, DenseMixing, RaftMixing, SegmentMixing
from mmvmlp.registry import WEIGHT_INITIALIZERS


@dataclass(frozen=True)
class CheckpointReport:
    """Result of loading a checkpoint into a model, by key.

    Attributes:
        source: Recognised format, and the file if any.
        matched: Keys of the model that were loaded.
        missing: Keys of the model that the checkpoint lacks.
        unexpected: Original keys of the checkpoint that the model lacks.
        mismatched: Keys of the model with a different shape, with the checkpoint's and the model's
            shape.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __str__(self) -> str:
        """Return one line per kind of result, with its first keys."""
        shapes = [f'{key} {theirs} (model: {ours})' for key, theirs, ours in self.mismatched]
        lines = [f'{self.source}: {len(self.matched)} tensors loaded']
        for kind, keys in (
            ('missing in the checkpoint', self.missing),
            ('unexpected in the checkpoint', self.unexpected),
            ('of different shape', shapes),
        ):
            if keys:
                more = f', ... ({len(keys)} in all)' if len(keys) > SHOWN_KEYS else ''
                lines.append(f'  {kind}: {", ".join(keys[:SHOWN_KEYS])}{more}')
        return '\n'.join(lines)


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
        named = _official_tensors(official, tensors, backbone, prefix, expected)
    if resample_tokens:
        _resample_tokens(backbone, prefix, named, official)
    if adapt_stem:
        _adapt_stem(backbone, prefix, named, official)
    report = _compare(
        source=('mmvmlp checkpoint' if official is None else official.name) + origin,
        named=named,
        expected=expected,
    )
    if official is not None and prefix and _is_published_model(tensors):
        _refuse_if_different(
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


NamedTensors = dict[str, tuple[str, torch.Tensor]]
"""By key of the model: the original key in the checkpoint, and the tensor in the model's layout."""


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


def _official_tensors(
    official: OfficialFormat,
    tensors: Mapping[str, torch.Tensor],
    backbone: VisionMLP,
    prefix: str,
    expected: Mapping[str, torch.Tensor],
) -> NamedTensors:
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


def _resample_tokens(
    backbone: VisionMLP, prefix: str, named: NamedTensors, official: OfficialFormat | None
) -> None:
    """Replace the weights of token mixing of another native size."""
    if any(isinstance(module, RaftMixing) for module in backbone.modules()):
        raise ValueError(
            f'resample_tokens=True: in {type(backbone).__name__}, the hidden features of token '
            'mixing grow with its native size, and have no places to interpolate between; '
            "resolution='resize' and resolution='window' take the weights at any size"
        )
    layers = {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, (AxialMixing, DenseMixing, SegmentMixing))
    }
    if not layers:
        raise ValueError(
            f'resample_tokens=True: this {type(backbone).__name__} has no token mixing of a native '
            'size'
        )
    for name, layer in layers.items():
        expected = {f'{prefix}{name}.{key}': value for key, value in layer.state_dict().items()}
        if not expected.keys() <= named.keys() or all(
            named[key][1].shape == tensor.shape for key, tensor in expected.items()
        ):
            continue
        start = f'{prefix}{name}.'
        weights = {key.removeprefix(start): named[key][1] for key in expected}
        if official is not None:
            # They were not rearranged: their shapes are not the model's.
            weights = {
                key: official.our_tensor(f'{name}.{key}', weights[key], shape)
                for key, shape in layer.native_shapes(weights).items()
            }
        for key, tensor in layer.resampled(weights).items():
            named[start + key] = (named[start + key][0], tensor)


def _adapt_stem(
    backbone: VisionMLP, prefix: str, named: NamedTensors, official: OfficialFormat | None
) -> None:
    """Replace the weight of the first convolution if it is for other image channels."""
    for name, weight in backbone.stem.named_parameters(prefix='stem'):
        own, tensor = named.get(prefix + name, ('', weight))
        # No other shape of a stem depends on the channels.
        if tensor.numel() == weight.numel() or tensor.ndim != weight.ndim or weight.ndim < 2:
            continue
        if official is not None:
            # It was not rearranged: its shape is not the model's.
            channels = tensor.numel() * backbone.in_channels // weight.numel()
            shape = torch.Size((weight.shape[0], channels, *weight.shape[2:]))
            tensor = official.our_tensor(name, tensor, shape)
        if len(tensor) == len(weight):
            named[prefix + name] = (own, backbone.stem_for_image_channels(tensor))


def _compare(
    source: str, named: NamedTensors, expected: Mapping[str, torch.Tensor]
) -> CheckpointReport:
    for key, (own, tensor) in named.items():
        if key in expected and tensor.is_floating_point() != expected[key].is_floating_point():
            raise CheckpointError(
                f"{source}: tensor {own!r} is {tensor.dtype}, the model's is {expected[key].dtype}"
            )
    fits = {
        key: key in expected and tensor.shape == expected[key].shape
        for key, (_, tensor) in named.items()
    }
    return CheckpointReport(
        source=source,
        matched=tuple(key for key in expected if fits.get(key)),
        missing=tuple(key for key in expected if key not in named),
        unexpected=tuple(own for key, (own, _) in named.items() if key not in expected),
        mismatched=tuple(
            (key, tuple(tensor.shape), tuple(expected[key].shape))
            for key, (_, tensor) in named.items()
            if key in expected and not fits[key]
        ),
    )


def _refuse_if_different(report: CheckpointReport, model: nn.Module, advice: str) -> None:
    """Raise unless the checkpoint matches the whole model."""
    if report.missing or report.mismatched or report.unexpected:
        raise CheckpointError(
            f'the checkpoint does not fit this {type(model).__name__}; {advice}\n{report}'.replace(
                'tensors loaded', 'tensors fit'
            )
        )


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


def check_trained_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint that does not match a whole trained model.

    Args:
        model: The model to test, use or resume.
        contents: From :func:`read_checkpoint`.
        origin: File or URL to name in errors.

    Raises:
        CheckpointError: If a tensor is missing or unexpected, or differs in shape or kind.
    """
    report = _compare_whole(model, extract_state_dict(contents, origin), origin)
    _refuse_if_different(report, model, 'is it for another config?')


def check_starting_checkpoint(
    model: nn.Module, contents: Mapping[str, Any], origin: str | Path
) -> None:
    """Refuse a checkpoint for starting training unless it covers the backbone.

    Heads may differ, for example in the number of classes. Models with backbones of other packages
    are not checked, since some convert checkpoints on loading.

    Args:
        model: The model to train.
        contents: From :func:`read_checkpoint`.
        origin: File or URL to name in errors.

    Raises:
        CheckpointError: If a tensor of ``model.backbone`` is missing, or differs in shape or kind.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    report = _compare_whole(model, extract_state_dict(contents, origin), origin)
    of_backbone = [
        key
        for key in (*report.missing, *(key for key, *_ in report.mismatched))
        if key.startswith('backbone.')
    ]
    if of_backbone:
        raise CheckpointError(
            f'the checkpoint does not fit the backbone of this {type(model).__name__}; is it for '
            'another config? Set published weights of a backbone with '
            'model.backbone.init_cfg=dict(type="mmvmlp.OfficialPretrained", checkpoint=...).\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def check_pretrained_modules(model: nn.Module) -> None:
    """Refuse checkpoints in ``init_cfg=dict(type='Pretrained', ...)`` that do not fit.

    mmengine loads the tensors that happen to fit and logs the rest. Our backbones check their own
    checkpoints; this checks those of the other modules of a model with such a backbone.

    Args:
        model: A model before its weights are initialised.

    Raises:
        FileNotFoundError: If a file does not exist.
        CheckpointError: If a checkpoint cannot be read or does not cover its module.
    """
    if not isinstance(getattr(model, 'backbone', None), VisionMLP):
        return
    for name, module in model.named_modules():
        init_cfg = getattr(module, 'init_cfg', None)
        # Modules with their own `init_weights` may convert the checkpoint.
        if not init_cfg or type(module).init_weights is not BaseModule.init_weights:
            continue
        for entry in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
            if is_pretrained(entry):
                _check_pretrained_module(name, module, entry)


def _check_pretrained_module(name: str, module: nn.Module, init_cfg: Mapping[str, Any]) -> None:
    file = init_cfg['checkpoint']
    contents = CheckpointLoader.load_checkpoint(file, 'cpu')
    if not name:
        check_starting_checkpoint(module, contents, file)
        return
    prefix = init_cfg.get('prefix') or ''
    prefix = f'{prefix.removesuffix(".")}.' if prefix else ''
    tensors = {
        key.removeprefix(prefix): tensor
        for key, tensor in extract_state_dict(contents, file).items()
        if key.startswith(prefix)
    }
    report = _compare_unconverted(module, tensors, file)
    if report.missing or report.mismatched:
        raise CheckpointError(
            f'the checkpoint in model.{name}.init_cfg does not fit this {type(module).__name__}\n'
            f'{report}'.replace('tensors loaded', 'tensors fit')
        )


def _compare_whole(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str | Path
) -> CheckpointReport:
    """Compare a whole model's tensors as it loads them: its backbone converts official ones."""
    backbone: Any = getattr(model, 'backbone', None)
    ours = isinstance(backbone, VisionMLP)
    official = backbone.official_format(tensors, 'backbone.') if ours else None
    if official is None:
        return _compare_unconverted(model, tensors, origin)
    named: NamedTensors = {
        key: (key, tensor) for key, tensor in tensors.items() if not key.startswith('backbone.')
    }
    published = {
        key.removeprefix('backbone.'): tensor for key, tensor in tensors.items() if key not in named
    }
    for name, (own, tensor) in backbone.converted(
        official, published, backbone.state_dict()
    ).items():
        named[f'backbone.{name}'] = (f'backbone.{own}', tensor)
    return _compare(f'{official.name} {str(origin)!r}', named, model.state_dict())


def _compare_unconverted(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str | Path
) -> CheckpointReport:
    return _compare(
        source=f'checkpoint {str(origin)!r}',
        named={key: (key, tensor) for key, tensor in tensors.items()},
        expected=model.state_dict(),
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
