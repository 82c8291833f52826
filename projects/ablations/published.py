"""The papers' ablations: what each changes, and by how much it changed the accuracy there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from projects.digit_images import SIZE

# A fourth stage would have a single token, which there is nothing to mix with.
THREE_STAGES = (2,)

NETWORKS: dict[str, Mapping[str, Any]] = {
    'HireMLP': {
        'arch': {'depths': (2, 2, 2, 2), 'channels': (16, 32, 64, 64)},
        'out_indices': THREE_STAGES,
    },
    'SMLPNet': {
        'arch': {'depths': (2, 2, 2, 2), 'channels': 20, 'image_size': SIZE},
        'out_indices': THREE_STAGES,
    },
    'S2MLP': {
        'arch': {'depth': 6, 'channels': 96, 'patch_size': 8},
        'out_indices': (-1,),
    },
    'ResMLP': {
        'arch': {'depth': 4, 'channels': 96, 'patch_size': 8, 'image_size': SIZE},
        'out_indices': (-1,),
    },
}
"""Arguments of small networks by class: what the ablations change."""


@dataclass(frozen=True)
class Variant:
    """A network with some fields of its architecture changed.

    Attributes:
        name: Name in tables and records.
        arch: Changed fields.
        gain: Change of the accuracy in the paper, in percentage points, from the network that it
            compares with; None if it is not known.
        norm_cfg: Norms, if they are others.
    """

    name: str
    arch: Mapping[str, Any] = field(default_factory=dict)
    gain: float | None = None
    norm_cfg: Mapping[str, Any] | None = None

    def backbone(self, network: str) -> dict[str, Any]:
        """Return the arguments of a network's class."""
        arguments = NETWORKS[network]
        return {
            **arguments,
            'arch': {**arguments['arch'], **self.arch},
            'norm_cfg': self.norm_cfg,
        }


@dataclass(frozen=True)
class Ablation:
    """Variants of a network that a paper compares with one of them.

    Attributes:
        network: Class of the network.
        source: Where the paper has it, and with which network and data.
        variants: The variants.
        reference: The variant that they are compared with.
    """

    network: str
    source: str
    variants: tuple[Variant, ...]
    reference: Variant = Variant('default')


ONE_STEP = {'shift_steps': (1, 1, 1, 1)}
NO_SPARSE = (False, False, False, False)

# Differences are written as the paper's accuracies.
ABLATIONS: dict[str, Ablation] = {
    'hire_mlp_padding': Ablation(
        'HireMLP',
        'version 1 of the paper, Hire-MLP-S on ImageNet',
        (
            Variant('zero padding', {'padding': 'zero'}, 81.59 - 81.78),
            Variant('reflect padding', {'padding': 'reflect'}, 81.36 - 81.78),
            Variant('replicate padding', {'padding': 'replicate'}, 81.42 - 81.78),
        ),
    ),
    'hire_mlp_shift': Ablation(
        'HireMLP',
        'version 1 of the paper, Hire-MLP-S on ImageNet',
        (
            Variant('no shift', {'shift_steps': (0, 0, 0, 0)}, 81.06 - 81.78),
            Variant('steps 1, 1, 1, 1', ONE_STEP, 81.53 - 81.78),
            Variant('steps 2, 2, 2, 2', {'shift_steps': (2, 2, 2, 2)}, 81.46 - 81.78),
            Variant('shuffle instead of shift', {'exchange': 'shuffle'}, 80.82 - 81.78),
        ),
    ),
    'hire_mlp_regions': Ablation(
        'HireMLP',
        'version 1 of the paper, Hire-MLP-S with steps of 1 on ImageNet',
        (
            Variant('regions 2, 2, 2, 2', {**ONE_STEP, 'regions': (2, 2, 2, 2)}, 80.95 - 81.69),
            Variant('regions 3, 3, 3, 3', {**ONE_STEP, 'regions': (3, 3, 3, 3)}, 81.51 - 81.69),
            Variant('regions 5, 4, 3, 3', {**ONE_STEP, 'regions': (5, 4, 3, 3)}, 81.16 - 81.69),
        ),
        Variant('steps 1, 1, 1, 1', ONE_STEP),
    ),
    'hire_mlp_branches': Ablation(
        'HireMLP',
        'version 1 of the paper, Hire-MLP-S on ImageNet',
        (
            Variant('no mixing in regions', {'regions': (1, 1, 1, 1)}, 79.81 - 81.78),
            Variant('no channel branch', {'channel_branch': False}, 81.18 - 81.78),
            Variant('branches added', {'weighting': False}),
        ),
    ),
    'hire_mlp_mixing': Ablation(
        'HireMLP',
        'version 2 of the paper, Hire-MLP-S on ImageNet, as others quote it',
        (
            Variant('no restoration', {'restoration': False}, -0.3),
            Variant('one layer', {'region_layers': 1}),
            Variant('three layers', {'region_layers': 3}),
        ),
    ),
    'smlpnet_branches': Ablation(
        'SMLPNet',
        'sMLPNet-T* on ImageNet',
        (
            Variant('serial', {'order': 'serial'}, 81.1 - 81.3),
            Variant('no identity', {'identity': False}, 80.9 - 81.3),
            Variant('serial, no identity', {'order': 'serial', 'identity': False}, 80.6 - 81.3),
        ),
    ),
    'smlpnet_fusion': Ablation(
        'SMLPNet',
        'sMLPNet-S on ImageNet',
        (
            Variant('sum', {'fusion': 'sum'}, 81.5 - 83.1),
            Variant('weighted sum', {'fusion': 'weighted_sum'}, 81.8 - 83.1),
            Variant('split attention', {'fusion': 'split_attention'}),
        ),
    ),
    'smlpnet_mixing': Ablation(
        'SMLPNet',
        'sMLPNet-T* on ImageNet; local mixing alone with channels times 1.4',
        (
            Variant('sparse mixing alone', {'local': False}, 80.6 - 81.3),
            Variant('local mixing alone', {'sparse': NO_SPARSE, 'channels': 28}, 80.7 - 81.3),
            Variant(
                'dense mixing', {'dense': True, 'sparse': (False, True, True, True)}, 77.8 - 81.3
            ),
        ),
    ),
    'smlpnet_stages': Ablation(
        'SMLPNet',
        'sMLPNet-B on ImageNet',
        (
            Variant('sparse from stage 2', {'sparse': (False, True, True, True)}, 83.2 - 83.4),
            Variant('sparse from stage 3', {'sparse': (False, False, True, True)}, 83.0 - 83.4),
            Variant('no sparse mixing', {'sparse': NO_SPARSE}, 82.0 - 83.4),
        ),
    ),
    's2_mlp_shift': Ablation(
        'S2MLP',
        'S²-MLP-wide on ImageNet100',
        (
            Variant('eight directions', {'shift': 'eight_directions'}, 87.0 - 87.1),
            Variant('right and down', {'shift': 'right_and_down'}, 85.0 - 87.1),
            Variant('right and left', {'shift': 'horizontal'}, 79.5 - 87.1),
            Variant('down and up', {'shift': 'vertical'}, 80.5 - 87.1),
            Variant('right', {'shift': 'right'}, 77.7 - 87.1),
            Variant('no shift', {'shift': 'none'}, 56.7 - 87.1),
        ),
    ),
    'resmlp_mixing': Ablation(
        'ResMLP',
        'ResMLP-S12 on ImageNet',
        (
            Variant('MLP across patches', {'token_mixing': 'mlp'}, 77.3 - 76.6),
            Variant('no mixing of patches', {'token_mixing': 'none'}, 56.5 - 76.6),
        ),
    ),
    'resmlp_norm': Ablation(
        'ResMLP',
        'ResMLP-S12 on ImageNet',
        (Variant('layer norm', gain=77.7 - 76.6, norm_cfg={'type': 'LN2d'}),),
    ),
}
"""Ablations by name."""
