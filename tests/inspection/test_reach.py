"""The analytic reach, compared with the pixels that have a gradient."""

import pytest
import torch

from mmvmlp.backbones.base import registered_families
from mmvmlp.inspection.layers import layers_of
from mmvmlp.inspection.reach import layer_reaches, pixels_in_reach, stated_reach
from mmvmlp.inspection.receptive_field import gradient_support, position_in

POSITIONS = ((0.5, 0.5), (0.0, 0.0), (0.99, 0.4))
FAMILIES = registered_families()


def check(backbone, height, width):
    layers = layers_of(backbone)
    reaches = layer_reaches(layers, height, width)
    measured = gradient_support(backbone, height, width, POSITIONS)
    for number, (layer, supports) in enumerate(zip(layers, measured, strict=True), start=1):
        size = torch.empty(reaches[number - 1].output_size)
        for position, support in zip(POSITIONS, supports, strict=True):
            stated = pixels_in_reach(reaches[:number], *position_in(size, position))
            assert torch.equal(stated, support), (layer.name, position)


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.name_prefix)
def test_reach_is_where_gradients_are(family):
    check(family(family.small_arch), 97, 150)


@pytest.mark.parametrize(
    'family',
    [family for family in FAMILIES if not family.size_free],
    ids=lambda family: family.name_prefix,
)
def test_windows_end_the_reach(family):
    check(family(family.small_arch, resolution='window'), 72, 136)


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('wave_mlp', {'depthwise_phase': True}),
        ('smlpnet', {'order': 'serial', 'identity': False}),
        ('smlpnet', {'local': False}),
        ('s2_mlp', {'shift': 'eight_directions'}),
        ('as_mlp', {'shift_size': 3}),
        ('hire_mlp', {'channel_branch': False, 'width_branch': False}),
    ],
    ids=str,
)
def test_architectures_have_a_reach_of_their_own(name, changes):
    (family,) = (family for family in FAMILIES if family.name_prefix == name)
    check(family({**family.small_arch, **changes}), 64, 64)


@pytest.mark.parametrize(
    'options',
    [
        {'kernel_size': (1, 7), 'padding': (0, 3)},
        {'kernel_size': (5, 2), 'stride': (1, 2), 'padding': (2, 0)},
        {'kernel_size': 3, 'dilation': (2, 3), 'padding': (2, 3)},
    ],
    ids=str,
)
def test_convolutions_of_any_shape(options):
    convolution = torch.nn.Conv2d(1, 1, **options)
    torch.nn.init.constant_(convolution.weight, 1)
    images = torch.rand(1, 1, 11, 14, requires_grad=True)
    output = convolution(images)
    reach = stated_reach(convolution, 11, 14)
    assert reach.output_size == output.shape[2:]
    for row, column in ((0, 0), (5, 3), (output.shape[2] - 1, output.shape[3] - 1)):
        wanted = torch.zeros(output.shape[2:], dtype=torch.bool)
        wanted[row, column] = True
        (gradient,) = torch.autograd.grad(output[0, 0, row, column], images, retain_graph=True)
        assert torch.equal(reach.sources(wanted), gradient[0, 0] != 0)


@pytest.mark.parametrize('options', [{'padding': 'same'}, {'padding_mode': 'circular'}], ids=str)
def test_convolutions_with_another_border_are_refused(options):
    with pytest.raises(TypeError, match='no reach is stated for a convolution'):
        stated_reach(torch.nn.Conv2d(1, 1, 3, **options), 8, 8)


def test_kinds_of_layers_without_a_statement_are_refused():
    backbone = FAMILIES[0](FAMILIES[0].small_arch)
    backbone.stages[1].blocks[0] = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match='module is a Linear: no reach is stated'):
        layer_reaches(layers_of(backbone), 64, 64)
