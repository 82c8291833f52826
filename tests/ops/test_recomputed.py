"""Operators that compute intermediate results again: gradients, and what they keep."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import mmvmlp
from mmvmlp.ops.recomputed import (
    SMALLEST_TILE,
    GatheredConvolution,
    LinearGELULinear,
    WeightedProjection,
    linear_gelu_linear,
)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gathered_convolution(x, weight):
    return GatheredConvolution.apply(x, weight, 2, torch.tensor([3, 0, 1, 2, 3]))


@pytest.mark.parametrize(
    ('function', 'shapes'),
    [
        (LinearGELULinear.apply, [(5, 3), (4, 3), (4,), (3, 4), (3,)]),
        (gathered_convolution, [(2, 3, 4, 5), (2, 3, 2, 1)]),
        (WeightedProjection.apply, [(2, 5, 3), (2, 5, 3), (2, 5, 3), (3, 2, 1, 3), (3, 3), (3,)]),
    ],
    ids=['LinearGELULinear', 'GatheredConvolution', 'WeightedProjection'],
)
def test_first_and_second_derivatives(function, shapes):
    torch.manual_seed(0)
    inputs = [random(*shape) for shape in shapes]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
    # Frozen parameters.
    inputs[1].requires_grad_(False)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_gradients_of_several_tiles():
    torch.manual_seed(0)
    inputs = [random(2 * SMALLEST_TILE + 5, 3), random(600, 3), random(600), random(3, 600)]
    inputs.append(random(3))
    gradient = torch.randn(len(inputs[0]), 3, dtype=torch.float64)
    ours = torch.autograd.grad(LinearGELULinear.apply(*inputs), inputs, gradient)
    theirs = torch.autograd.grad(linear_gelu_linear(*inputs), inputs, gradient)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('path', ['channel_mlp.fc1', 'channel_mlp.fc2', 'token_mixing.projection'])
def test_hooked_and_replaced_layers_are_called(path, training):
    network = mmvmlp.HireMLP(arch=mmvmlp.HireMLP.small_arch).train(training)
    block, images, called = network.stages[0].blocks[0], torch.randn(2, 3, 64, 64), []
    parent, _, name = path.rpartition('.')
    layer = block.get_submodule(path)
    with torch.set_grad_enabled(training):
        handle = layer.register_forward_hook(lambda *_: called.append('hooked'))
        network(images)
        handle.remove()
        adapter = torch.nn.Sequential(layer)
        adapter.register_forward_hook(lambda *_: called.append('replaced'))
        setattr(block.get_submodule(parent), name, adapter)
        network(images)
    assert called == ['hooked', 'replaced']


def kept_bytes(network, images):
    """Return the bytes that a network keeps for the backward pass, besides its parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        maps = network(images)
    assert len(maps) == 4
    return sum(kept.values())


def test_hire_mlp_keeps_two_thirds_of_what_the_paper_literal_network_does():
    from reference.networks import hire_mlp_small

    images = torch.randn(2, 3, 128, 128)
    ours = kept_bytes(mmvmlp.build_backbone('hire_mlp_small'), images)
    theirs = kept_bytes(hire_mlp_small(), images)
    assert ours <= 0.65 * theirs
    recomputing = mmvmlp.build_backbone('hire_mlp_small', with_cp=True)
    assert kept_bytes(recomputing, images) <= 0.35 * ours
