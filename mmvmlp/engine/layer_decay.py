"""Layer-wise learning-rate decay for classifiers, detectors and segmentors."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.registry import OPTIM_WRAPPER_CONSTRUCTORS

RATES = ('layer_decay_rate', 'backbone_lr_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Lowers the learning rate of a backbone, or of its early layers.

    Parameters of layer ``d`` of ``n``, as numbered by the backbone's ``get_layer_depth``, have the
    learning rate ``lr * layer_decay_rate ** (n - 1 - d)``, those of the backbone also times
    ``backbone_lr_mult``; necks and heads have ``lr``. Norms, affine layers, LayerScale and biases
    have no weight decay, which mmengine's ``custom_keys`` for a backbone would give them. For
    configs::

        optim_wrapper = dict(
            constructor='mmvmlp.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.8),
        )

    Source: Clark et al., "ELECTRA" (arXiv 2003.10555), appendix B.

    Args:
        optim_wrapper_cfg: Config of mmengine's ``OptimWrapper``; its optimizer must set ``lr``.
        paramwise_cfg: ``layer_decay_rate`` and ``backbone_lr_mult``, one of them or both, in
            (0, 1], and options of mmengine's ``DefaultOptimWrapperConstructor``;
            ``norm_decay_mult``, ``bias_decay_mult`` and ``flat_decay_mult`` default to 0.

    Raises:
        ValueError: If both rates are missing, one is outside (0, 1], or ``lr`` is missing.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: Mapping[str, Any] | None = None
    ) -> None:
        options = dict(paramwise_cfg or {})
        rates = {key: options[key] for key in RATES if key in options}
        for key, rate in rates.items():
            if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
                raise ValueError(
                    f'paramwise_cfg.{key}={rate!r}: a number above 0 and up to 1 is accepted'
                )
        if not rates:
            raise ValueError(f'paramwise_cfg={options!r}: {" or ".join(RATES)} is missing')
        if optim_wrapper_cfg['optimizer'].get('lr') is None:
            raise ValueError('optimizer.lr is missing: the layers learn at fractions of it')
        if optim_wrapper_cfg['optimizer'].get('weight_decay') is not None:
            without_decay = ('norm_decay_mult', 'bias_decay_mult', 'flat_decay_mult')
            options = {**dict.fromkeys(without_decay, 0.0), **options}
        super().__init__(optim_wrapper_cfg, options)
        self.base_lr: float
        self.layer_decay_rate = float(rates.get('layer_decay_rate', 1))
        self.backbone_lr_mult = float(rates.get('backbone_lr_mult', 1))

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add a module's parameters to the parameter groups, with their learning rates.

        Raises:
            TypeError: If neither the model nor its ``backbone`` is a :class:`~mmvmlp.VisionMLP`.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        # mmengine calls this recursively; only the model itself has no prefix.
        if prefix:
            return
        backbone, backbone_prefix = find_backbone(module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        for group in params:
            name = names[id(group['params'][0])]
            depth, num_layers = backbone.get_layer_depth(name, backbone_prefix)
            scale = self.layer_decay_rate ** (num_layers - 1 - depth)
            if name.startswith(backbone_prefix):
                scale *= self.backbone_lr_mult
            group['lr'] = group.get('lr', self.base_lr) * scale
