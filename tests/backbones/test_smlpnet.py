"""sMLPNet against the official network, its published sizes, and its literal transcription."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import official_state_dict
from reference import assert_equal_to_literal
from reference import smlpnet as reference

import mmvmlp
from mmvmlp.backbones.smlpnet import SMLPNet, SparseMLP

SMALL_ARCH = {'depths': (2, 1, 2, 1), 'channels': 8, 'image_size': 64}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('smlpnet_tiny_ratio2', 19_175_584),
        ('smlpnet_tiny', 24_123_584),
        ('smlpnet_small', 48_558_136),
        ('smlpnet_base', 65_880_408),
    ],
)
def test_classifiers_have_the_published_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(32, 200),
    width=st.integers(32, 200),
    resolution=st.sampled_from(['resize', 'window']),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution, seed):
    torch.manual_seed(seed)
    backbone = SMLPNet(SMALL_ARCH, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, SparseMLP, reference.sparse_mlp, image)


@pytest.mark.parametrize(
    ('field', 'value'), [('depths', (2, 2, 3)), ('channels', 0), ('image_size', 100)]
)
def test_architectures_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        SMLPNet({**SMALL_ARCH, field: value})


def test_checkpoint_of_a_bigger_variant_is_refused():
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(
            mmvmlp.build_backbone('smlpnet_small'), official_state_dict('smlpnet_tiny')
        )
