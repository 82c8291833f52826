"""Adapt published weights to another native size, or to other image channels."""

import torch

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.backbones.official_format import OfficialFormat
from mmvmlp.checkpoints.report import NamedTensors
from mmvmlp.ops import AxialMixing, DenseMixing, RaftMixing, SegmentMixing


def resample_token_mixing(
    backbone: VisionMLP, prefix: str, named: NamedTensors, official: OfficialFormat | None
) -> None:
    """Replace the weights of token mixing of another native size.

    Args:
        backbone: The backbone that takes them.
        prefix: Prefix of its keys in the model.
        named: Tensors of the checkpoint; changed in place.
        official: Their format; None for ours.

    Raises:
        ValueError: If the backbone has no token mixing of a native size, or one that cannot be
            resampled.
    """
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


def adapt_first_convolution(
    backbone: VisionMLP, prefix: str, named: NamedTensors, official: OfficialFormat | None
) -> None:
    """Replace the weight of the first convolution if it is for other image channels.

    Args:
        backbone: The backbone that takes it.
        prefix: Prefix of its keys in the model.
        named: Tensors of the checkpoint; changed in place.
        official: Their format; None for ours.
    """
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
