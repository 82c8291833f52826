"""Whole networks step by step as the official code runs them, for comparing speed.

They return the feature maps of the four stages; classifiers are left out. Parameters are named as
in the official checkpoints, so that ours load them; those of S²-MLP, which has no official code, as
in ours.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class PointwiseMLP(nn.Module):
    """Two pointwise convolutions with a GELU in between."""

    def __init__(self, channels: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class HireTokenMixing(nn.Module):
    """The tokens of a region become channels, are mixed by pointwise layers, and go back."""

    def __init__(self, channels: int, region: int, step: int) -> None:
        super().__init__()
        self.region, self.step = region, step
        self.mlp_h1 = nn.Conv2d(channels * region, channels // 2, 1, bias=False)
        self.mlp_h1_norm = nn.BatchNorm2d(channels // 2)
        self.mlp_h2 = nn.Conv2d(channels // 2, channels * region, 1)
        self.mlp_w1 = nn.Conv2d(channels * region, channels // 2, 1, bias=False)
        self.mlp_w1_norm = nn.BatchNorm2d(channels // 2)
        self.mlp_w2 = nn.Conv2d(channels // 2, channels * region, 1)
        self.mlp_c = nn.Conv2d(channels, channels, 1)
        self.reweight = PointwiseMLP(channels, channels // 4, channels * 3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def along(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """Mix regions of rows (dim 2) or columns (dim 3)."""
        side, region = x.shape[dim], self.region
        # The official code copies the map first.
        x = x.clone()
        if self.step:
            x = torch.roll(x, self.step, dim)
        missing = -side % region
        padding = (0, 0, 0, missing) if dim == 2 else (0, missing, 0, 0)
        x = functional.pad(x, padding, mode='circular')
        x = x.unflatten(dim, (-1, region)).movedim(dim + 1, 2).flatten(1, 2)
        if dim == 2:
            x = self.mlp_h2(functional.relu(self.mlp_h1_norm(self.mlp_h1(x))))
        else:
            x = self.mlp_w2(functional.relu(self.mlp_w1_norm(self.mlp_w1(x))))
        x = x.unflatten(1, (-1, region)).movedim(2, dim + 1).flatten(dim, dim + 1)
        x = x.narrow(dim, 0, side)
        return torch.roll(x, -self.step, dim) if self.step else x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width, channel = self.along(x, 2), self.along(x, 3), self.mlp_c(x)
        pooled = (height + width + channel).flatten(2).mean(2)[:, :, None, None]
        scores = self.reweight(pooled).reshape(*x.shape[:2], 3)
        weights = scores.permute(2, 0, 1).softmax(0)[:, :, :, None, None]
        return self.proj(height * weights[0] + width * weights[1] + channel * weights[2])


class HireBlock(nn.Module):
    """Token mixing and channel mixing."""

    def __init__(self, channels: int, region: int, step: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.attn = HireTokenMixing(channels, region, step)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = PointwiseMLP(channels, 4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ConvNormReLU(nn.Module):
    """Stem, and downsampling between stages."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.proj(x)))


class HireMLP(nn.Module):
    """Hire-MLP: github.com/ggjy/Hire-Wave-MLP.pytorch, ``hire_mlp.py``."""

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        channels, regions = (64, 128, 320, 512), (4, 3, 3, 2)
        periods, steps = (2, 2, 3, 2), (2, 2, 1, 1)
        self.patch_embed = ConvNormReLU(3, channels[0], 7, 4, 2)
        self.network = nn.ModuleList()
        for stage, depth in enumerate(depths):
            if stage:
                merging = ConvNormReLU(channels[stage - 1], channels[stage], 3, 2, 1)
                self.network.append(merging)
            blocks = [
                HireBlock(channels[stage], regions[stage], block % periods[stage] * steps[stage])
                for block in range(depth)
            ]
            self.network.append(nn.Sequential(*blocks))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, maps = self.patch_embed(images), []
        for part in self.network:
            x = part(x)
            if isinstance(part, nn.Sequential):
                maps.append(x)
        return tuple(maps)


def hire_mlp_small() -> nn.Module:
    """Build Hire-MLP-S."""
    return HireMLP((3, 4, 10, 3))


class LocalMixing(nn.Module):
    """Norm, GELU, depthwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_merge = nn.ModuleDict(
            {
                'BN': nn.BatchNorm2d(channels),
                'Conv': nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_merge['Conv'](functional.gelu(self.conv_merge['BN'](x)))


class SparseMixing(nn.Module):
    """Norm, GELU, mixing of rows and of columns, fused with the input."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.BN = nn.BatchNorm2d(channels)
        self.proj_h = nn.Conv2d(tokens, tokens, 1)
        self.proh_w = nn.Conv2d(tokens, tokens, 1)
        self.fuse = nn.Conv2d(3 * channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.BN(x))
        # The official names are swapped: `proj_h` mixes along W.
        rows = self.proj_h(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        columns = self.proh_w(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
        return self.fuse(torch.cat([x, rows, columns], 1))


class ChannelsLastMLP(nn.Module):
    """Linear layers at each position of a channels-last map."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        layers = nn.Linear(channels, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, channels)
        self.net = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class ChannelMixing(nn.Sequential):
    """Layer norm and MLP of a channels-first map."""

    def __init__(self, channels: int, ratio: int) -> None:
        mlp = ChannelsLastMLP(channels, ratio * channels)
        super().__init__(nn.Identity(), nn.LayerNorm(channels), mlp)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SMLPNet(nn.Module):
    """sMLPNet: github.com/microsoft/SPACH, ``models/smlp.py``."""

    def __init__(self, depths: Sequence[int], channels: int, ratio: int) -> None:
        super().__init__()
        self.depths = depths
        widths = [channels * 2**stage for stage in range(len(depths))]
        self.to_patch_embedding = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, patch, patch, bias=False))
            for inputs, outputs, patch in zip([3, *widths], widths, (4, 2, 2, 2), strict=False)
        )
        blocks = [(width, 56 // 2**i) for i, width in enumerate(widths) for _ in range(depths[i])]
        self.token_mix = nn.ModuleList(
            nn.Sequential(LocalMixing(width), SparseMixing(width, tokens))
            for width, tokens in blocks
        )
        self.channel_mix = nn.ModuleList(ChannelMixing(width, ratio) for width, _ in blocks)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, maps = images, []
        blocks = iter(zip(self.token_mix, self.channel_mix, strict=True))
        for embedding, depth in zip(self.to_patch_embedding, self.depths, strict=True):
            x = embedding(x)
            for _ in range(depth):
                token_mix, channel_mix = next(blocks)
                x = x + token_mix(x)
                x = x + channel_mix(x)
            maps.append(x)
        return tuple(maps)


def smlpnet_tiny() -> nn.Module:
    """Build sMLPNet-T, which takes images of 224x224 pixels."""
    return SMLPNet((2, 8, 14, 2), 80, 3)


class Affine(nn.Module):
    """A scale and an offset for each channel of a channels-last map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + self.bias


class S2Block(nn.Module):
    """Spatial-shift mixing and channel mixing of a channels-last map: figure 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Affine(channels), Affine(channels)
        self.fc1, self.fc2 = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.channel_mlp = nn.ModuleDict(
            {'fc1': nn.Linear(channels, 4 * channels), 'fc2': nn.Linear(4 * channels, channels)}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc2(shifted(functional.gelu(self.fc1(self.norm1(x)))))
        x = x + y
        y = functional.gelu(self.channel_mlp['fc1'](self.norm2(x)))
        return x + self.channel_mlp['fc2'](y)


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Shift (N, H, W, C) as algorithm 1 does, each assignment reading the old map."""
    new, quarter = x.clone(), x.shape[3] // 4
    new[:, :, 1:, :quarter] = x[:, :, :-1, :quarter]
    new[:, :, :-1, quarter : 2 * quarter] = x[:, :, 1:, quarter : 2 * quarter]
    new[:, 1:, :, 2 * quarter : 3 * quarter] = x[:, :-1, :, 2 * quarter : 3 * quarter]
    new[:, :-1, :, 3 * quarter :] = x[:, 1:, :, 3 * quarter :]
    return new


class S2MLP(nn.Module):
    """S²-MLP, deep: arXiv 2106.07477, section 3; there is no official code."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.ModuleDict(
            {'conv': nn.Conv2d(3, channels, 16, 16), 'norm': Affine(channels)}
        )
        blocks = [S2Block(channels) for _ in range(depth)]
        self.stages = nn.ModuleList(
            nn.ModuleDict({'blocks': nn.Sequential(*blocks[start : start + depth // 4])})
            for start in range(0, depth, depth // 4)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, maps = self.stem['norm'](self.stem['conv'](images).permute(0, 2, 3, 1)), []
        for stage in self.stages:
            x = stage['blocks'](x)
            maps.append(x.permute(0, 3, 1, 2))
        return tuple(maps)


def s2_mlp_deep() -> nn.Module:
    """Build S²-MLP, deep."""
    return S2MLP(36, 384)
