"""The inference form of every family: equal outputs, and clear refusals."""

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from randomised import randomised
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import mmvmlp
from mmvmlp import fuse
from mmvmlp.analysis.precision import LARGEST_ERRORS, PRECISIONS, measure_precision
from mmvmlp.backbones.base import registered_families
from mmvmlp.ops.fused_linear import FusedLinear

FAMILIES = registered_families()
every_family = pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.__name__)
every_family_and_policy = pytest.mark.parametrize(
    ('family', 'resolution'),
    [
        (family, resolution)
        for family in FAMILIES
        for resolution in ([None] if family.size_free else ['resize', 'window'])
    ],
    ids=lambda value: getattr(value, '__name__', str(value)),
)


def trained(family, **kwargs):
    """Return a small backbone whose parameters and statistics are all random."""
    torch.manual_seed(0)
    return randomised(family(arch=family.small_arch, **kwargs).eval())


def assert_equal_maps(ours, theirs, tolerance):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * other.abs().max().item())


@every_family_and_policy
@settings(max_examples=10, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_equals_the_ordinary_form_at_any_size(family, resolution, data):
    backbone = trained(family, resolution=resolution, out_norm=True).double()
    fused = fuse(backbone)
    sides = [data.draw(st.integers(backbone.minimum_size, 200)) for _ in range(2)]
    images = torch.randn(2, 3, *sides, dtype=torch.float64)
    expected = backbone(images)
    assert_equal_maps(fused(images), expected, 1e-10)
    # Where gradients are wanted, whole-map operators run, as in graphs and on GPUs.
    with torch.enable_grad():
        assert_equal_maps(fused(images.clone().requires_grad_()), expected, 1e-10)


@every_family
@torch.no_grad()
def test_equals_the_ordinary_form_in_tiles_of_large_maps(family):
    backbone = trained(family)
    images = torch.randn(1, 3, 800, 1216)
    assert_equal_maps(fuse(backbone)(images), backbone(images), 1e-5)


@every_family
@torch.no_grad()
def test_leaves_the_model_alone_and_fuses_once(family):
    backbone = trained(family)
    before = copy.deepcopy(backbone.state_dict())
    fused = fuse(backbone)
    again = fuse(fused)
    images = torch.randn(1, 3, 96, 64)
    assert_equal_maps(again(images), fused(images), 0)
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert backbone.state_dict().keys() == before.keys()
    assert all(torch.equal(backbone.state_dict()[key], before[key]) for key in before)


@every_family
@torch.no_grad()
def test_is_saved_and_loaded(family):
    images = torch.randn(1, 3, 96, 64)
    fused = fuse(trained(family))
    expected = fused(images)
    other = fuse(family(arch=family.small_arch).eval())
    other(images)
    other.load_state_dict(fused.state_dict())
    assert_equal_maps(other(images), expected, 0)
    file = io.BytesIO()
    torch.save(fused, file)
    file.seek(0)
    assert_equal_maps(torch.load(file, weights_only=False)(images), expected, 0)


@every_family
@torch.no_grad()
def test_maps_of_one_position_are_not_overwritten(family):
    backbone = trained(family)
    images = torch.randn(1, 3, backbone.minimum_size, backbone.minimum_size)
    assert_equal_maps(fuse(backbone)(images), backbone(images), 1e-5)


@every_family
def test_norms_that_fold_are_gone(family):
    fused = fuse(trained(family))
    kept = [module for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
    ordinary = [m for m in trained(family).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(kept) <= len(ordinary) / 2
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.stem.modules())
    assert any(isinstance(module, FusedLinear) for module in fused.modules())


@every_family
def test_training_mode_is_refused(family):
    backbone = trained(family)
    with pytest.raises(ValueError, match=r'training mode.*eval\(\)'):
        fuse(backbone.train())
    fused = fuse(backbone.eval())
    assert fused.eval() is fused
    with pytest.raises(ValueError, match=f'fused {family.__name__}'):
        fused.train()


def test_norms_that_do_not_fold_are_refused():
    import mmcv.cnn  # noqa: F401  (registers GN)

    backbone = mmvmlp.SMLPNet(
        arch=mmvmlp.SMLPNet.small_arch, norm_cfg={'type': 'GN', 'num_groups': 2}
    )
    with pytest.raises(ValueError, match=r'GroupNorm.*accepted'):
        fuse(backbone.eval())


def test_models_without_a_backbone_are_refused():
    with pytest.raises(TypeError, match='Linear'):
        fuse(nn.Linear(3, 3).eval())


@torch.no_grad()
def test_backbones_in_classifiers_are_fused():
    classifier = mmvmlp.build_classifier('hire_mlp_tiny', num_classes=7).eval()
    fused = fuse(classifier)
    assert fused.backbone.is_fused
    assert not classifier.backbone.is_fused
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(fused(images), classifier(images), rtol=1e-4, atol=1e-5)


def test_rearranged_weights_follow_the_weights():
    linear = FusedLinear(torch.randn(8, 4), torch.randn(8), torch.float32)
    x = torch.randn(3, 4)

    def assert_current():
        expected = nn.functional.linear(x.double(), linear.weight.double(), linear.bias.double())
        torch.testing.assert_close(linear(x).double(), expected, rtol=1e-5, atol=1e-6)

    assert_current()
    linear.weight.mul_(2)
    assert_current()
    linear.load_state_dict({'weight': torch.randn(8, 4), 'bias': torch.randn(8)}, assign=True)
    assert_current()
    linear.double()
    torch.testing.assert_close(linear(x.double()).float(), linear.float()(x))
    assert_current()
    with torch.inference_mode():
        linear.weight.data = torch.randn(8, 4)
        assert_current()


@every_family
@torch.no_grad()
def test_compiled_graphs_call_fused_blocks_as_operators(family):
    torch._dynamo.reset()
    fused = fuse(trained(family))
    counter = CompileCounterWithBackend('aot_eager')
    compiled = torch.compile(fused, fullgraph=True, dynamic=True, backend=counter)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for height, width in ((101, 130), (96, 288), (160, 97)):
            images = torch.randn(2, 3, height, width)
            assert_equal_maps(compiled(images), fused(images), 1e-6)
    assert counter.graphs
    nodes = counter.graphs[-1].graph.nodes
    operators = [node for node in nodes if 'fused_block' in str(node.target)]
    assert len(operators) == sum(len(stage.blocks) for stage in fused.stages)


@every_family
def test_reduced_precision_errs_no_more_than_in_the_ordinary_form(family):
    errors = {
        (each.precision, each.fused): each.maps
        for each in measure_precision(trained(family), torch.randn(2, 3, 97, 130))
    }
    for precision in PRECISIONS:
        assert errors[precision, True] < 2 * errors[precision, False]
        assert errors[precision, True] < LARGEST_ERRORS[precision.dtype]
