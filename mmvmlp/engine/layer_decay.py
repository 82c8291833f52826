"""Layer-wise learning-rate decay, for classifiers, detectors and segmentors alike."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives a backbone's early layers a lower learning rate than its late ones.

    A parameter of layer ``d`` of ``n`` learns with ``lr * layer_decay_rate ** (n - 1 - d)``; which
    layer it belongs to is what the backbone's ``get_layer_depth`` says. Neck and heads learn with
    ``lr``. Norms, affine layers, LayerScale and biases are not decayed by ``weight_decay``. For
    configs::

        optim_wrapper = dict(
            constructor='mmvmlp.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.8),
        )

    Source: Clark et al., "ELECTRA" (arXiv 2003.10555), appendix B.

    Args:
        optim_wrapper_cfg: Of mmengine's ``OptimWrapper``, with the optimizer and its ``lr``.
        paramwise_cfg: ``layer_decay_rate``, above 0 and up to 1, and whatever mmengine's
            ``DefaultOptimWrapperConstructor`` takes; ``norm_decay_mult``, ``bias_decay_mult`` and
            ``flat_decay_mult`` are 0 unless they are given.

    Raises:
        ValueError: If ``layer_decay_rate`` is missing or not accepted, or the optimizer has no
            ``lr``.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: Mapping[str, Any] | None = None
    ) -> None:
        options = dict(paramwise_cfg or {})
        rate = options.get('layer_decay_rate')
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(
                f'paramwise_cfg.layer_decay_rate={rate!r}: a number above 0 and up to 1 is accepted'
            )
        if optim_wrapper_cfg['optimizer'].get('lr') is None:
            raise ValueError('optimizer.lr is missing: the rates of the layers are fractions of it')
        if optim_wrapper_cfg['optimizer'].get('weight_decay') is not None:
            without_decay = ('norm_decay_mult', 'bias_decay_mult', 'flat_decay_mult')
            options = {**dict.fromkeys(without_decay, 0.0), **options}
        super().__init__(optim_wrapper_cfg, options)
        self.base_lr: float
        self.layer_decay_rate = float(rate)

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add a module's parameters, each with the settings it learns with.

        Raises:
            TypeError: If the model is no :class:`~mmvmlp.VisionMLP` and has none as its
                ``backbone``.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        # mmengine calls this again for every child; the model itself comes without a prefix.
        if prefix:
            return
        backbone, backbone_prefix = find_backbone(module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        for group in params:
            depth, num_layers = backbone.get_layer_depth(
                names[id(group['params'][0])], backbone_prefix
            )
            scale = self.layer_decay_rate ** (num_layers - 1 - depth)
            group['lr'] = group.get('lr', self.base_lr) * scale
