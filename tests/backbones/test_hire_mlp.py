"""Hire-MLP against the official network, its published sizes, and its literal transcription."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_equal_to_literal
from reference import hire_mlp as reference

import mmvmlp
from mmvmlp.backbones.hire_mlp import HireMLP, HireModule

SMALL_ARCH = {'depths': (2, 2, 3, 2), 'channels': (8, 12, 16, 20)}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('hire_mlp_tiny', 18_041_672),
        ('hire_mlp_small', 33_113_848),
        ('hire_mlp_base', 58_226_856),
        ('hire_mlp_large', 95_723_944),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_regions_shift_as_in_the_official_code():
    stages = mmvmlp.build_backbone('hire_mlp_base').stages
    shifts = [[block.token_mixing.height.shift for block in stage.blocks] for stage in stages]
    assert shifts == [[0, 2, 0, 2], [0, 2, 0, 2, 0, 2], [0, 1, 2] * 8, [0, 1, 0]]
    assert [stage.blocks[0].token_mixing.width.region for stage in stages] == [4, 3, 3, 2]


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 320), width=st.integers(32, 320), seed=st.integers(0, 99))
@torch.no_grad()
def test_any_size_gives_what_the_paper_writes(height, width, seed):
    torch.manual_seed(seed)
    backbone = HireMLP(SMALL_ARCH).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, HireModule, reference.hire_module, image)


@pytest.mark.parametrize(
    ('field', 'values'),
    [('depths', (2, 2, 3)), ('regions', (4, 3, 0, 2)), ('channels', (8, 12, 18, 20))],
)
def test_architectures_that_cannot_be_built_are_refused(field, values):
    with pytest.raises(ValueError, match=field):
        HireMLP({**SMALL_ARCH, field: values})
