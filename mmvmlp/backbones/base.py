"""Base class of all backbones: arguments, stages, and feature maps."""

import inspect
import itertools
import re
from abc import abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, cast

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvmlp.backbones.architecture import Architecture
from mmvmlp.backbones.arguments import (
    as_integer,
    as_number,
    boolean,
    distinct_levels,
    positive_integer,
)
from mmvmlp.backbones.image_channels import for_image_channels
from mmvmlp.backbones.names import canonical_name, suggestion
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.backbones.pretrained import strict_init_cfg
from mmvmlp.backbones.published_weights import PublishedWeights
from mmvmlp.backbones.recomputation import recomputed
from mmvmlp.ops import RESOLUTIONS, Resolution, build_norm
from mmvmlp.ops.layout import as_contiguous
from mmvmlp.registry import MODELS

NUM_LEVELS = 4


@dataclass(frozen=True)
class FeatureInfo:
    """Channels and stride of a feature map.

    Attributes:
        channels: Number of channels.
        stride: Distance between neighbouring positions in image pixels, along H and W.
    """

    channels: int
    stride: int


class Stage(nn.Module):
    """A stage: downsampling, then blocks at constant resolution.

    Args:
        blocks: Modules from (N, C, H, W) to (N, C, H, W).
        downsample: Downsampling from the previous stage; by default none.
    """

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.downsample = nn.Identity() if downsample is None else downsample
        self.blocks = nn.ModuleList(blocks)


class VisionMLP(BaseModule):
    """Base class of backbones that return a tuple of feature maps for images of any size.

    Families define ``variants``, their stem, stages and levels; all other arguments are handled
    here, and all other attributes have defaults.

    Args:
        arch: Name of a variant (``'t'`` is short for ``'tiny'``, and so on), or a mapping with the
            fields of the family's architecture; by default the family's first variant.
        in_channels: Channels of the image.
        out_indices: Levels 0-3 to emit, in this order; negative ones count from the end. Stages
            after the last emitted level are not built.
        out_norm: True to normalise each emitted level.
        drop_path_rate: Stochastic depth of the last block; increases linearly from 0 at the first
            block, does so anew in each stage, or is constant, as the family was trained.
        norm_cfg: Norm layers; by default those of the family.
        frozen_stages: -1 freezes nothing, 0 the stem, k the stem and the first k stages.
        norm_eval: True to keep batch norms in evaluation mode during training.
        with_cp: True to recompute blocks in the backward pass, which saves memory.
        resolution: Image-size policy of fixed-size token mixing: ``'resize'`` and ``'window'``
            accept any size, ``'native'`` only the native one. By default that of the family;
            ignored by networks that are size-free by design.
        init_cfg: Initialisation of the weights by mmengine; ``mmvmlp.OfficialPretrained`` and
            ``Pretrained`` load checkpoints strictly.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an argument is not accepted.
    """

    variants: ClassVar[Mapping[str, Architecture]]
    """Published architectures by name, all of the same dataclass."""

    name_prefix: ClassVar[str]
    """Prefix of the variants' names in :func:`mmvmlp.build_backbone`; by default the name of the
    class, ``'my_mlp'`` for ``MyMLP``."""

    title: ClassVar[str]
    """Name of the family as in its paper, for tables and plots; by default that of the class."""

    paper: ClassVar[str] = ''
    """URL of the paper."""

    smallest_variant: ClassVar[str]
    """Name of the variant with the fewest parameters; by default the first."""

    small_arch: ClassVar[Mapping[str, Any]]
    """Architecture for tests: few channels, all kinds of blocks, native size 64 if any; by default
    the smallest variant."""

    size_free: ClassVar[bool] = True
    """True if the network accepts any image size by design, without an image-size policy."""

    default_resolution: ClassVar[Resolution] = 'resize'
    """Default image-size policy."""

    official_formats: ClassVar[tuple[OfficialFormat, ...]] = ()
    """Published checkpoint formats that :func:`mmvmlp.load_checkpoint` accepts for this family."""

    published_weights: ClassVar[tuple[PublishedWeights, ...]] = ()
    """Published files of weights, and why others cannot be had; :func:`mmvmlp.list_weights`."""

    has_constant_drop_path: ClassVar[bool] = False
    """True if all blocks have the same drop path rate."""

    has_drop_path_per_stage: ClassVar[bool] = False
    """True if drop path rates increase from 0 anew in each stage."""

    has_final_norm: ClassVar[bool] = True
    """True if the published classifier normalises the last feature map before pooling."""

    is_fused: bool = False
    """True for the inference form that :func:`mmvmlp.fuse` makes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check a family's variants, and set the attributes that it does not.

        Raises:
            TypeError: If the variants are not architectures of one dataclass, by name.
        """
        super().__init_subclass__(**kwargs)
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        defaults: dict[str, Any] = {
            'name_prefix': re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', cls.__name__).lower(),
            'title': cls.__name__,
            # Otherwise that of __new__, which takes anything.
            '__signature__': inspect.Signature(parameters),
        }
        if 'variants' in vars(cls):
            cls._check_variants()
            defaults['smallest_variant'] = next(iter(cls.variants))
            smallest = vars(cls).get('smallest_variant', defaults['smallest_variant'])
            defaults['small_arch'] = asdict(cls.variants[smallest])
        for name, default in defaults.items():
            if name not in vars(cls):
                setattr(cls, name, default)

    @classmethod
    def _check_variants(cls) -> None:
        variants: Any = cls.variants
        values = list(variants.values()) if isinstance(variants, Mapping) else []
        if len(set(map(type, values))) != 1 or not isinstance(values[0], Architecture):
            raise TypeError(
                f'{cls.__name__}.variants={variants!r}: accepted is a mapping from names to '
                'architectures, all of one frozen dataclass that derives from '
                'mmvmlp.backbones.Architecture'
            )

    def __new__(cls, *args: Any, **kwargs: Any) -> 'VisionMLP':
        """Refuse what is unknown or missing with a message that names it."""
        if not hasattr(cls, 'variants'):
            raise TypeError(
                f'{cls.__name__}.variants is missing: a mapping from names to architectures, such '
                "as {'tiny': MyArchitecture(...)}"
            )
        accepted = [name for name in inspect.signature(cls.__init__).parameters if name != 'self']
        for name in kwargs:
            if name not in accepted:
                raise TypeError(
                    f'{cls.__name__} has no argument {name!r}{suggestion(name, accepted)}; '
                    f'accepted: {", ".join(accepted)}'
                )
        return cast('VisionMLP', super().__new__(cls))

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = None,
        *,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_norm: bool = False,
        drop_path_rate: float = 0.0,
        norm_cfg: Mapping[str, Any] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        resolution: Resolution | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg=strict_init_cfg(init_cfg))
        self.arch = self._resolve_architecture(next(iter(self.variants)) if arch is None else arch)
        rate = as_number(drop_path_rate)
        if rate is None or not 0.0 <= rate < 1.0:
            raise ValueError(f'drop_path_rate={drop_path_rate!r}: a number in [0, 1) is accepted')
        stages = as_integer(frozen_stages)
        if stages is None or not -1 <= stages <= NUM_LEVELS:
            raise ValueError(
                f'frozen_stages={frozen_stages!r}: accepted are -1 (nothing), 0 (the stem) and '
                f'1-{NUM_LEVELS} (the stem and that many stages)'
            )
        if resolution is not None and resolution not in RESOLUTIONS:
            raise ValueError(
                f'resolution={resolution!r}: accepted are {", ".join(map(repr, RESOLUTIONS))}'
            )
        self.resolution: Resolution = resolution or self.default_resolution
        self.in_channels = positive_integer('in_channels', in_channels)
        self.out_indices = distinct_levels('out_indices', out_indices, NUM_LEVELS)
        self.out_norm = boolean('out_norm', out_norm)
        self.drop_path_rate = rate
        self.norm_cfg = self.default_norm_cfg if norm_cfg is None else norm_cfg
        self.frozen_stages = stages
        self.norm_eval = boolean('norm_eval', norm_eval)
        self.with_cp = boolean('with_cp', with_cp)
        self.stem = self.build_stem()
        self.stages = nn.ModuleList(self._checked_stage(stage) for stage in range(self.num_stages))
        levels = self.levels()
        if len(levels) != NUM_LEVELS:
            raise ValueError(
                f'{type(self).__name__}.levels() returns {len(levels)} levels: {NUM_LEVELS} are '
                'accepted'
            )
        self.feature_info = tuple(levels[level] for level in self.out_indices)
        self.minimum_size = max(info.stride for info in levels[: self.num_stages])
        if self.out_norm:
            for level in sorted(self.out_indices):
                self.add_module(f'norm{level}', build_norm(self.norm_cfg, levels[level].channels))
        self._freeze()

    def _checked_stage(self, number: int) -> Stage:
        stage: object = self.build_stage(number)
        if not isinstance(stage, Stage):
            raise TypeError(
                f'{type(self).__name__}.build_stage({number}) returns a {type(stage).__name__}: a '
                'mmvmlp.backbones.Stage is accepted'
            )
        return stage

    @abstractmethod
    def build_stem(self) -> nn.Module:
        """Build the stem."""

    @abstractmethod
    def build_stage(self, stage: int) -> Stage:
        """Build a stage, numbered from 0."""

    def fused_blocks(self, blocks: Sequence[nn.Module]) -> list[nn.Module]:
        """Return the inference form of a stage's blocks, for :func:`mmvmlp.fuse`.

        A block without a method ``fused()`` is its own.

        Raises:
            ValueError: If a norm cannot be folded.
        """
        return [cast(Any, block).fused() if hasattr(block, 'fused') else block for block in blocks]

    @abstractmethod
    def levels(self) -> tuple[FeatureInfo, ...]:
        """Return channels and stride of all four levels."""

    def emits_before_blocks(self, level: int) -> bool:
        """Return True if a level is what enters the blocks of its stage, not what leaves them.

        If such a stage is the last, families build it without blocks.
        """
        return False

    @property
    def default_norm_cfg(self) -> Mapping[str, Any]:
        """Norm layers of the published network; by default layer norm."""
        return {'type': 'LN2d'}

    @property
    def depths(self) -> tuple[int, int, int, int]:
        """Number of blocks of all four stages, including those not built."""
        return cast(tuple[int, int, int, int], self.arch.depths)

    @classmethod
    def _resolve_architecture(cls, arch: str | Mapping[str, Any]) -> Any:
        if isinstance(arch, str):
            variant = canonical_name(arch, cls.variants)
            if variant is None:
                raise ValueError(
                    f'arch={arch!r}{suggestion(arch, cls.variants)}: {cls.__name__} knows '
                    f'{", ".join(map(repr, cls.variants))}, or takes a mapping with the '
                    "architecture's fields"
                )
            return cls.variants[variant]
        architecture = type(next(iter(cls.variants.values())))
        if isinstance(arch, architecture):
            return arch
        if not isinstance(arch, Mapping):
            raise ValueError(
                f"arch={arch!r}: a variant's name ({', '.join(map(repr, cls.variants))}) or a "
                'mapping is accepted'
            )
        assert is_dataclass(architecture)
        known = [field.name for field in fields(architecture)]
        unknown = [name for name in arch if name not in known]
        if unknown:
            raise ValueError(
                f'arch has unknown fields {unknown}: {cls.__name__} accepts {", ".join(known)}'
            )
        try:
            return architecture(**arch)
        except TypeError as error:
            raise ValueError(f'arch={dict(arch)!r}: {error}') from error

    @property
    def num_stages(self) -> int:
        """Number of stages built, up to the last emitted level."""
        return max(self.out_indices) + 1

    def drop_path_rates(self) -> list[list[float]]:
        """Return the drop path rate of each block of each stage."""
        if self.has_constant_drop_path:
            return [[self.drop_path_rate] * depth for depth in self.depths]
        if self.has_drop_path_per_stage:
            return [self._increasing_rates(depth) for depth in self.depths]
        rates = iter(self._increasing_rates(sum(self.depths)))
        return [list(itertools.islice(rates, depth)) for depth in self.depths]

    def _increasing_rates(self, depth: int) -> list[float]:
        return [self.drop_path_rate * (block / max(1, depth - 1)) for block in range(depth)]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the feature maps.

        Args:
            images: (N, in_channels, H, W), H and W at least the largest stride.

        Returns:
            Contiguous NCHW feature maps (N, channels, ~H / stride, ~W / stride) in the order of
            ``out_indices``; see ``feature_info`` for channels and strides.

        Raises:
            TypeError: If the images are not a tensor of the dtype of the weights. Under autocast,
                any floating-point dtype is accepted.
            ValueError: If the images are too small or of the wrong shape.
        """
        self._check_images(images)
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        maps: dict[int, torch.Tensor] = {}
        for level, stage in enumerate(self._built_stages()):
            x = entering = stage.downsample(x)
            for block in stage.blocks:
                x = self._run_block(block, x)
            if level in self.out_indices:
                emitted = entering if self.emits_before_blocks(level) else x
                if self.out_norm:
                    emitted = getattr(self, f'norm{level}')(emitted)
                # mmcv's RoIAlign assumes that its input is contiguous.
                maps[level] = as_contiguous(emitted)
        return tuple(maps[level] for level in self.out_indices)

    def _built_stages(self) -> list[Stage]:
        return cast(list[Stage], list(self.stages))

    def _check_images(self, images: torch.Tensor) -> None:
        if not isinstance(images, torch.Tensor):
            raise TypeError(
                f'images of type {type(images).__name__}: accepted is a tensor of shape '
                f'(N, {self.in_channels}, H, W)'
            )
        weights = next((each.dtype for each in self.parameters()), images.dtype)
        if images.dtype != weights and not (
            images.is_floating_point() and torch.is_autocast_enabled(images.device.type)
        ):
            raise TypeError(
                f'images of dtype {images.dtype}: the weights of this {type(self).__name__} are '
                f'{weights}, and images of that dtype are accepted'
            )
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f'images of shape {tuple(images.shape)}: accepted is (N, {self.in_channels}, H, W)'
            )
        height, width = images.shape[2:]
        if height < self.minimum_size or width < self.minimum_size:
            raise ValueError(
                f'images of {height}x{width} pixels are too small for {type(self).__name__}, '
                f'whose largest stride is {self.minimum_size}: both sides must be at least '
                f'{self.minimum_size}'
            )
        if self.size_free or self.resolution != 'native':
            return
        native = self.arch.image_size
        if (height, width) != (native, native):
            raise ValueError(
                f"images of {height}x{width} pixels: with resolution='native' this "
                f'{type(self).__name__} accepts {native}x{native} only; '
                "resolution='resize' and resolution='window' accept any size"
            )

    def _run_block(self, block: nn.Module, x: torch.Tensor) -> torch.Tensor:
        recomputes = self.with_cp and torch.is_grad_enabled()
        return recomputed(block, x) if recomputes else cast(torch.Tensor, block(x))

    def train(self, mode: bool = True) -> 'VisionMLP':
        """Set training or evaluation mode; frozen stages stay in evaluation mode.

        Raises:
            ValueError: If a fused network is to be trained.
        """
        if mode and self.is_fused:
            raise ValueError(
                f'mode=True: a fused {type(self).__name__} is for inference only; train the '
                'network it was made from'
            )
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        for module in (self.stem, *self.stages[: self.frozen_stages]):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any, **options: Any
    ) -> None:
        """Convert a published backbone, also within a detector that a toolbox loads."""
        official = self.official_format(state_dict, prefix)
        if official is not None:
            published = {
                key.removeprefix(prefix): state_dict.pop(key)
                for key in list(state_dict)
                if key.startswith(prefix)
            }
            ours = self.converted(official, published, self.state_dict())
            state_dict.update({prefix + name: tensor for name, (_, tensor) in ours.items()})
        super()._load_from_state_dict(state_dict, prefix, *arguments, **options)

    @classmethod
    def official_format(cls, keys: Container[str], prefix: str = '') -> OfficialFormat | None:
        """Return the format of published tensors of this family, or None for other tensors.

        Args:
            keys: Keys of the tensors.
            prefix: Prefix of the backbone's, such as ``'backbone.'``.
        """
        for official in cls.official_formats:
            if prefix + official.signature in keys:
                return official
        return None

    def converted(
        self,
        official: OfficialFormat,
        tensors: Mapping[str, torch.Tensor],
        expected: Mapping[str, torch.Tensor],
    ) -> dict[str, tuple[str, torch.Tensor]]:
        """Convert a published backbone to our names and layout.

        Args:
            official: One of ``official_formats``.
            tensors: Published tensors by official key.
            expected: Tensors of our model by name.

        Returns:
            By our name: the official key, and the tensor in our layout.
        """
        strides = [level.stride for level in self.levels()]
        return official.our_tensors(tensors, self.depths, strides, expected)

    def stem_for_image_channels(self, weight: torch.Tensor) -> torch.Tensor:
        """Adapt the weight of the first convolution to this model's image channels.

        Args:
            weight: In our layout, for any number of channels.
        """
        return for_image_channels(weight, self.in_channels)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter's layer, for layer-wise learning-rate decay.

        The stem is layer 0, and each block is a layer, together with a downsampling before it.
        Norms of emitted levels and parameters outside the backbone belong to the last layer.

        Args:
            param_name: Name of the parameter in the model.
            prefix: Prefix of the backbone's parameters, such as ``'backbone.'``.

        Returns:
            Depth of the layer, and number of layers.
        """
        depths = [len(stage.blocks) for stage in self._built_stages()]
        num_layers = sum(depths) + 2
        name = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix) or name[0] not in ('stem', 'stages'):
            return num_layers - 1, num_layers
        if name[0] == 'stem':
            return 0, num_layers
        block = int(name[3]) if name[2] == 'blocks' else 0
        return 1 + sum(depths[: int(name[1])]) + block, num_layers


def registered_families() -> list[type[VisionMLP]]:
    """Return the registered backbone classes, in order of registration."""
    MODELS.import_from_location()
    return [
        family
        for family in MODELS.module_dict.values()
        if isinstance(family, type) and issubclass(family, VisionMLP)
    ]


def find_backbone(model: nn.Module) -> tuple[VisionMLP, str]:
    """Return a model's backbone, and the prefix of its parameters in the model.

    Args:
        model: A :class:`VisionMLP`, or a model whose ``backbone`` is one.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(model, VisionMLP):
        return model, ''
    backbone = getattr(model, 'backbone', None)
    if isinstance(backbone, VisionMLP):
        return backbone, 'backbone.'
    raise TypeError(
        f'model is a {type(model).__name__}: a VisionMLP, or a model whose `backbone` is one, is '
        'accepted'
    )
