"""S²-MLPv2 against its paper: there are no official code and no official weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import s2_mlp_v2 as reference

from mmvmlp import S2MLPv2
from mmvmlp.analysis.complexity import count_complexity
from mmvmlp.config.loading import load_config
from mmvmlp.ops import LayerNorm2d, SummedSplitAttention

SMALL_ARCH = {'depths': (1, 1, 2, 1), 'channels': (8, 8, 12, 12), 'strides': (3, 3, 6, 6)}


@pytest.mark.parametrize(
    ('arch', 'parameters', 'macs'),
    [
        ('small7', 25_112_680, 6.902e9),
        ('medium7', 55_268_840, 16.284e9),
        ('small14', 29_890_408, 6.856e9),
    ],
)
def test_classifiers_have_the_published_size_and_cost(arch, parameters, macs):
    config = load_config('configs/classify_s2_mlp_v2_small7.py')
    config.model.backbone.arch = arch
    config.model.head.in_channels = S2MLPv2.variants[arch].channels[-1]
    parts = count_complexity(config, 224, 224)
    assert sum(part.parameters for part in parts) == parameters
    assert sum(part.macs for part in parts) == pytest.approx(macs, rel=1e-3)


def test_split_attention_has_a_quarter_of_the_channels_and_no_biases():
    attention = SummedSplitAttention(64)
    assert [tuple(p.shape) for p in attention.parameters()] == [(16, 64), (192, 16)]


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 7), columns=st.integers(1, 7))
@torch.no_grad()
def test_outputs_are_those_of_the_papers_formulas(rows, columns):
    torch.manual_seed(rows)
    backbone = S2MLPv2(SMALL_ARCH).double().eval()
    for module in backbone.modules():
        if isinstance(module, LayerNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
        elif isinstance(module, SummedSplitAttention):
            module[2].weight.uniform_(-0.5, 0.5)
    image = torch.randn(1, 3, 6 * rows, 6 * columns, dtype=torch.float64)
    for ours, theirs in zip(backbone(image), reference.maps(backbone, image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@torch.no_grad()
def test_attention_of_large_maps_does_not_overflow_in_half_precision():
    torch.manual_seed(0)
    attention = SummedSplitAttention(8)
    branches = 5 + torch.randn(3, 2, 8, 200, 300)
    weights = attention.of(branches)
    assert branches.sum((0, 3, 4)).min() > torch.finfo(torch.float16).max
    with torch.autocast('cpu', torch.float16):
        in_autocast = attention.of(branches.half())
    for reduced in (in_autocast, attention.half().of(branches.half())):
        assert reduced.dtype == torch.float16
        torch.testing.assert_close(reduced.float(), weights, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ('field', 'value', 'named'),
    [
        ('channels', (8, 8, 12, 10), 'multiple of 4'),
        ('channels', (8, 12, 12, 12), 'same stride'),
        ('strides', (7, 7, 14, 7), 'multiple of the one before'),
        ('strides', (7, 14, 14, 21), 'multiple of the one before'),
    ],
)
def test_architectures_that_cannot_be_built_are_refused(field, value, named):
    with pytest.raises(ValueError, match=rf'arch field {field}=.*{named}.*accepted'):
        S2MLPv2({**SMALL_ARCH, field: value})
