"""Dense token mixing: all tokens with all others, in each channel alike.

Source: ResMLP (arXiv 2105.03404), equation 2, one linear layer; MLP-Mixer (arXiv 2105.01601),
equation 1, two linear layers with a GELU in between.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from mmvmlp.ops.resample import (
    Resolution,
    mix_at_native_size,
    product_along,
    resampling_matrices,
    tokens_of_windows,
    windows_of_tokens,
)


class DenseMixing(nn.Module):
    """Mixes all tokens, in each channel alike.

    Args:
        side: Tokens per row and per column at the native size.
        resolution: Policy for other sizes.
        hidden_tokens: Outputs of the first of two linear layers; by default there is one layer.
    """

    def __init__(self, side: int, resolution: Resolution, hidden_tokens: int | None = None) -> None:
        super().__init__()
        self.side = side
        self.resolution: Resolution = resolution
        tokens = side**2
        self.fc1 = nn.Linear(tokens, hidden_tokens or tokens)
        self.fc2 = None if hidden_tokens is None else nn.Linear(hidden_tokens, tokens)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix all tokens: (N, C, H, W) to (N, C, H, W)."""
        if self.resolution == 'window' and torch.compiler.is_compiling():
            # It holds for every size, but multiplies each token with side**2 numbers, all but one
            # of them zeros: too slow where nothing is compiled.
            mixed = windows_of_tokens(self._mix_tokens(tokens_of_windows(x, self.side)), x)
        else:
            native = {1: self.side, 2: self.side}
            x = x.permute(0, 2, 3, 1)
            mixed = mix_at_native_size(x, native, self.resolution, self._mix_map)
            mixed = mixed.permute(0, 3, 1, 2)
        # Compiled graphs use a different layout.
        return mixed.contiguous(memory_format=torch.channels_last)

    def _mix_map(self, x: torch.Tensor) -> torch.Tensor:
        return self._mix_tokens(x.flatten(1, 2).unsqueeze(2)).reshape(x.shape)

    def _mix_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mix along dimension 1 of a 4D tensor."""
        mixed = product_along(tokens, 1, self.fc1.weight, self.fc1.bias)
        if self.fc2 is None:
            return mixed
        return product_along(functional.gelu(mixed), 1, self.fc2.weight, self.fc2.bias)

    @staticmethod
    def native_shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
        """Return the shapes of such a layer's weights, from the lengths of its biases."""
        outputs = {name: len(weights[name]) for name in weights if name.endswith('bias')}
        first, *last = outputs.values()
        shapes = {'fc1': (first, *(last or [first])), 'fc2': (*last, first)}
        return {
            name: torch.Size(shapes[name[:3]] if name.endswith('weight') else (len(weights[name]),))
            for name in weights
        }

    def resampled(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights of such a layer of another native size for this one's.

        The layer then gives what the other one gives at this size with ``resolution='resize'``.

        Args:
            weights: ``fc1.weight``, ``fc1.bias`` and, with two layers, those of ``fc2``.
        """
        new = {name: tensor.double() for name, tensor in weights.items()}
        first, last = 'fc1', 'fc1' if self.fc2 is None else 'fc2'
        side = math.isqrt(new[f'{first}.weight'].shape[1])
        there, back = resampling_matrices(side, self.side, new[f'{first}.weight'])
        there, back = torch.kron(there, there), torch.kron(back, back)
        new[f'{first}.weight'] = new[f'{first}.weight'] @ there
        for name in ('weight', 'bias'):
            new[f'{last}.{name}'] = back @ new[f'{last}.{name}']
        return new

    def extra_repr(self) -> str:
        """Return the arguments shown by ``print(module)``."""
        return f'side={self.side}, resolution={self.resolution!r}'
