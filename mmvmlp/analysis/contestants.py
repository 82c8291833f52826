"""Networks that a benchmark times, each in a mode, by names such as ``'hire_mlp_small+fuse'``."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvmlp.analysis.complexity import SHAPES
from mmvmlp.build import build_backbone, list_backbones, resolve_name
from mmvmlp.config.loading import load_config
from mmvmlp.engine.autocast_hook import autocast_backbone_and_neck
from mmvmlp.openmmlab import SCOPE

DTYPES = ('float32', 'bfloat16', 'float16', 'int8')
"""Precisions: the lower ones by autocast, or by the runtime; int8 by quantising its file."""

RUNTIMES = ('torch', 'onnxruntime', 'openvino')
"""Programs that run a network; the others than torch run its ONNX export."""

PRECISIONS = {'float32': 'fp32', 'bfloat16': 'bf16', 'float16': 'fp16'}
"""Names of the precisions in the runtimes."""

SWITCHES = ('fuse', 'compile', 'channels_last', 'train')
"""Modes that are off by default."""

SOURCES = 'a backbone, timm:NAME, a config, or FILE.py:FUNCTION'


@dataclass(frozen=True)
class Mode:
    """Mode in which a network runs.

    Attributes:
        dtype: One of :data:`DTYPES`.
        runtime: One of :data:`RUNTIMES`.
        fuse: True for its exact inference form, see :func:`mmvmlp.fuse`.
        compile: True to compile it, for the shape of the images only.
        channels_last: True for weights and images in channels-last memory format.
        train: True for a training step: forward, sum of squares, backward.
        arguments: Further arguments of a backbone, or of timm's ``create_model``.

    Raises:
        ValueError: If a value is not accepted, or two do not go together.
    """

    dtype: str = 'float32'
    runtime: str = 'torch'
    fuse: bool = False
    compile: bool = False
    channels_last: bool = False
    train: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the fields."""
        for name, known in (('dtype', DTYPES), ('runtime', RUNTIMES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f'{name}={getattr(self, name)!r}: {", ".join(map(repr, known))} are accepted'
                )
        if self.runtime != 'torch':
            for name in ('compile', 'channels_last', 'train'):
                if getattr(self, name):
                    raise ValueError(f'{name}: accepted with torch only, not {self.runtime}')
        if self.dtype == 'int8' and self.runtime != 'openvino':
            raise ValueError('int8: accepted with openvino only')
        if self.train and self.fuse:
            raise ValueError('train: the fused form is for inference only')


def parse_contestant(text: str, defaults: Mode) -> tuple[str, Mode]:
    """Split the name of a contestant into a network and its mode.

    Args:
        text: A network, followed by modes: ``'hire_mlp_small+fuse+compile'``,
            ``'timm:resnet50+bfloat16'``, ``'resmlp_s12+resolution=window'``.
        defaults: Modes that are not given.

    Returns:
        Name of the network, and its mode.

    Raises:
        ValueError: If a mode is unknown, or two do not go together.
    """
    name, *modes = text.split('+')
    given: dict[str, Any] = {}
    arguments = dict(defaults.arguments)
    for mode in modes:
        key, separator, value = mode.partition('=')
        if separator:
            arguments[key] = _literal(value)
        elif mode in SWITCHES:
            given[mode] = True
        elif mode in DTYPES:
            given['dtype'] = mode
        elif mode in RUNTIMES:
            given['runtime'] = mode
        else:
            raise ValueError(
                f'{text!r}: the mode {mode!r} is unknown; accepted are '
                f'{", ".join((*SWITCHES, *DTYPES, *RUNTIMES))}, and KEY=VALUE for an argument of '
                'the network'
            )
    try:
        return name, replace(defaults, **given, arguments=arguments)
    except ValueError as error:
        raise ValueError(f'{text!r}: {error}') from error


def _literal(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: A backbone; ``timm:NAME`` for a network of timm without its classifier; a config of
            mmdet, mmsegmentation or mmpretrain, as a path or as ``PACKAGE::NAME.py``; or
            ``FILE.py:FUNCTION`` for a function without arguments that returns a module.
        arguments: Of a backbone, or of timm's ``create_model``.

    Returns:
        A module from images (N, 3, H, W) to feature maps, or to the predictions of a config's
        model.

    Raises:
        FileNotFoundError: If a file is missing.
        ImportError: If timm is needed and not installed.
        ValueError: If the network is unknown, or takes no arguments.
    """
    if name.startswith('timm:'):
        return TimmFeatures(name.removeprefix('timm:'), arguments)
    if function := re.fullmatch(r'(.+\.py):(\w+)', name):
        _refuse_arguments(name, arguments)
        return _from_file(Path(function[1]), function[2])
    if name.endswith('.py') or '::' in name:
        _refuse_arguments(name, arguments)
        return WholeModel(name)
    try:
        backbone = resolve_name(name)
    except ValueError as error:
        raise ValueError(
            f'{name!r} is not known: {SOURCES} is accepted; backbones are '
            f'{", ".join(list_backbones())}'
        ) from error
    return build_backbone(backbone, **arguments)


def _refuse_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    for key in arguments:
        raise ValueError(f'{name!r} takes no argument {key!r}: backbones and timm: do')


def _from_file(file: Path, function: str) -> nn.Module:
    """Call a function of a file."""
    if not file.is_file():
        raise FileNotFoundError(f'file {str(file)!r} does not exist')
    spec = importlib.util.spec_from_file_location(f'benchmarked_{file.stem}', file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    build = getattr(module, function, None)
    if not callable(build):
        raise ValueError(f'file {str(file)!r} has no function {function!r}')
    network = build()
    if not isinstance(network, nn.Module):
        raise ValueError(
            f'{file}:{function} returns a {type(network).__name__}: a torch.nn.Module is accepted'
        )
    return network


class TimmFeatures(nn.Module):
    """A network of timm up to its last feature map, without pooling and classifier.

    Args:
        name: Name of the network in timm.
        arguments: Further arguments of timm's ``create_model``.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm does not know the network.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                f'timm:{name} requires timm, which is not installed: pip install timm'
            ) from error
        if not timm.is_model(name):
            raise ValueError(
                f"'timm:{name}' is not known: a name of timm.list_models() is accepted"
            )
        self.model: Any = timm.create_model(name, num_classes=0, **arguments)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the last feature map of images (N, 3, H, W)."""
        return cast(torch.Tensor, self.model.forward_features(images))


class WholeModel(nn.Module):
    """A config's model, from normalised images to logits (classifiers) or predictions (others).

    Args:
        path: Path of the config, or ``PACKAGE::NAME.py``.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If it cannot be read, or is of no toolbox.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.config = _read_config(path)
        scope = self.config.get('default_scope')
        if scope not in SHAPES:
            raise ValueError(
                f'config {path!r} has default_scope={scope!r}: {", ".join(map(repr, SHAPES))} are '
                'accepted'
            )
        init_default_scope(scope)
        settings = deepcopy(self.config.model)
        settings.setdefault('data_preprocessor', self.config.get('data_preprocessor'))
        self.model = revert_sync_batchnorm(MODELS.build(settings))

    def forward(self, images: torch.Tensor) -> Any:
        """Predict on images (N, 3, H, W)."""
        if self.config.default_scope == 'mmpretrain':
            return self.model(images)
        samples = None
        if self.config.default_scope == 'mmdet':
            from mmdet.structures import DetDataSample

            shape = tuple(images.shape[2:])
            known = {
                **{'img_shape': shape, 'ori_shape': shape, 'pad_shape': shape},
                **{'batch_input_shape': shape, 'scale_factor': (1.0, 1.0)},
            }
            samples = [DetDataSample(metainfo=known) for _ in images]
        return self.model(images, samples, mode='predict')


def _read_config(path: str) -> Config:
    package, separator, _ = path.partition('::')
    if not separator or package == SCOPE:
        return load_config(path)
    try:
        return get_config(path)
    except Exception as error:
        # Depending on what is missing, mmengine raises anything.
        raise ValueError(
            f'config {path!r} cannot be read: {type(error).__name__}: {error}'
        ) from error


def step_of(
    name: str, network: nn.Module, mode: Mode, images: torch.Tensor, threads: int
) -> Callable[[], object]:
    """Return what runs a network once, in a mode.

    Args:
        name: Name of the network, for errors.
        network: From :func:`build_network`, on the device of the images; changed in place.
        mode: Mode to apply.
        images: (N, 3, H, W).
        threads: Threads of a runtime; torch's own are set elsewhere.

    Raises:
        ImportError: If a package that the mode needs is not installed.
        ValueError: If the network cannot be run in this mode.
    """
    if isinstance(network, WholeModel) and (mode.train or mode.runtime != 'torch'):
        what = 'a training step' if mode.train else mode.runtime
        raise ValueError(f'{name!r}: {what} is accepted for networks, not for whole models')
    network.train(mode.train)
    if mode.fuse:
        network = _fused(name, network)
    if mode.runtime != 'torch':
        return _runtime_call(name, network, mode, images, threads)
    if mode.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    dtype = getattr(torch, mode.dtype)
    if isinstance(network, WholeModel) and dtype != torch.float32:
        # RoIAlign and NMS do not support bfloat16.
        autocast_backbone_and_neck(network.model, dtype)
        dtype = torch.float32
    run: Callable[[torch.Tensor], Any] = _compiled(network) if mode.compile else network
    autocast = torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32)

    @torch.inference_mode()
    def predict() -> object:
        with autocast:
            return run(images)

    def train() -> object:
        network.zero_grad(set_to_none=True)
        with autocast:
            maps = run(images)
        loss = sum(level.float().square().sum() for level in _tensors(maps))
        cast(torch.Tensor, loss).backward()  # type: ignore[no-untyped-call]
        return loss

    return train if mode.train else predict


def _tensors(maps: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (maps,) if isinstance(maps, torch.Tensor) else tuple(maps)


def _compiled(network: nn.Module) -> nn.Module:
    """Compile a network, or of a whole model its backbone and neck."""
    if isinstance(network, WholeModel):
        for name in ('backbone', 'neck'):
            if isinstance(part := getattr(network.model, name, None), nn.Module):
                part.compile(dynamic=False)
    else:
        network.compile(dynamic=False)
    return network


def _fused(name: str, network: nn.Module) -> nn.Module:
    from mmvmlp.deploy.fuse import fuse

    if isinstance(network, WholeModel):
        network.model = fuse(network.model)
        return network
    try:
        return fuse(network)
    except TypeError as error:
        raise ValueError(f'{name!r}: fuse is for the networks of mmvmlp') from error


def _runtime_call(
    name: str, network: nn.Module, mode: Mode, images: torch.Tensor, threads: int
) -> Callable[[], object]:
    """Export a network for this shape, and load it in a runtime."""
    from mmvmlp.deploy.export import onnx_contents, openvino_model, save_openvino
    from mmvmlp.deploy.quantization import quantized
    from mmvmlp.deploy.runtimes import load_runtime

    if images.is_cuda:
        raise ValueError(f"{name!r}: device='cpu' is accepted with {mode.runtime}")
    with torch.no_grad():
        program = torch.export.export(network, (images,))
    outputs = [f'output{i}' for i in range(len(program.graph_signature.user_outputs))]
    contents = onnx_contents(program, outputs, {})
    if mode.dtype != 'int8':
        precision = PRECISIONS[mode.dtype]
        return partial(
            load_runtime(mode.runtime, contents, threads=threads, precision=precision), images
        )
    with TemporaryDirectory() as folder:
        file = Path(folder, 'network.xml')
        save_openvino(quantized(openvino_model(contents), [images]), file, {})
        return partial(load_runtime(mode.runtime, file, threads=threads), images)
