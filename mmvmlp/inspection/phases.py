"""Phases of Wave-MLP: how the tokens of each block, taken as waves, stand to each other."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from mmvmlp.backbones.base import VisionMLP
from mmvmlp.backbones.wave_mlp import PhaseAwareMixing
from mmvmlp.inspection.layers import layers_of


@dataclass(frozen=True)
class Phases:
    """Phases of one branch of a block.

    Attributes:
        name: Name of the branch in the backbone.
        title: Title of its block.
        axis: ``'height'`` or ``'width'``, along which the waves are mixed.
        first_image: Mean over channels of the first image's phases, in radians, (H, W).
        mean: Mean phase of all channels, positions and images, in radians.
        deviation: Standard deviation of the phases.
        zero_share: Share of phases of 0, where a wave is its amplitude alone.
        coherence: Length of the mean of all channels' unit waves at a position, averaged: 1 if all
            have the same phase, about 0 if they point anywhere.
    """

    name: str
    title: str
    axis: str
    first_image: torch.Tensor
    mean: float
    deviation: float
    zero_share: float
    coherence: float


@torch.no_grad()
def measure_phases(backbone: VisionMLP, images: torch.Tensor) -> list[Phases]:
    """Measure the phases of each block's branches; none in other networks than Wave-MLP.

    Args:
        backbone: The backbone, in evaluation mode.
        images: (N, in_channels, H, W).

    Raises:
        ValueError: If the backbone is fused, or the images are too small.
    """
    branches = {
        f'{layer.name}.{name}': (layer.title, name.rpartition('.')[2], branch)
        for layer in layers_of(backbone)
        for name, branch in layer.module.named_modules()
        if isinstance(branch, PhaseAwareMixing)
    }
    if not branches:
        return []
    measured: list[Phases] = []

    def measure(name: str) -> Any:
        title, axis, branch = branches[name]

        def hook(_: Any, inputs: tuple[torch.Tensor]) -> None:
            phase = functional.relu(branch.phase_norm(branch.phase(inputs[0])))
            waves = torch.polar(torch.ones_like(phase), phase).mean(1)
            measured.append(
                Phases(
                    name,
                    title,
                    axis,
                    phase[0].mean(0),
                    float(phase.mean()),
                    float(phase.std()),
                    float((phase == 0).float().mean()),
                    float(waves.abs().mean()),
                )
            )

        return branch.register_forward_pre_hook(hook)

    handles = [measure(name) for name in branches]
    try:
        backbone(images)
    finally:
        for handle in handles:
            handle.remove()
    return measured
