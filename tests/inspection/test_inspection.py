"""What an inspection writes."""

import json
import sys

import pytest
import torch
from PIL import Image

from mmvmlp import S2MLP, MLPMixer, ResMLP, SMLPNet, WaveMLP, build_classifier
from mmvmlp.inspection.class_activation import map_classes
from mmvmlp.inspection.inspection import inspect_network
from mmvmlp.inspection.phases import measure_phases
from mmvmlp.inspection.subject import Subject, find_subject


def noise_for(family):
    torch.manual_seed(0)
    backbone = family(family.small_arch).eval()
    return Subject(backbone, backbone, torch.randn(1, 3, 64, 64), None, ('noise 1',))


@pytest.mark.parametrize(
    ('family', 'figures'),
    [
        (ResMLP, {'mixing_all_tokens.png', 'weights_over_depth.png'}),
        (MLPMixer, {'mixing_hidden_units.png', 'weights_over_depth.png'}),
        (SMLPNet, {'mixing_height.png', 'mixing_width.png', 'weights_over_depth.png'}),
        (WaveMLP, {'phases.png', 'weights_over_depth.png'}),
    ],
)
def test_figures_and_numbers_are_written(family, figures, tmp_path):
    contents = inspect_network(noise_for(family), ['mixing', 'phases'], tmp_path / 'new', {})
    written = {file.name for file in (tmp_path / 'new').iterdir()}
    assert written == figures | {'inspection.json'}
    assert json.loads((tmp_path / 'new/inspection.json').read_text()) == contents
    for name in figures:
        with Image.open(tmp_path / 'new' / name) as figure:
            assert min(figure.size) > 300


def test_unknown_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="parts=\\['phase'\\].*'phases'"):
        inspect_network(noise_for(ResMLP), ['phase'], tmp_path / 'new', {})
    assert not (tmp_path / 'new').exists()


@torch.no_grad()
def test_phases_are_those_of_the_branches():
    backbone = WaveMLP(WaveMLP.small_arch).eval()
    for name, parameter in backbone.named_parameters():
        if '.phase.' in name:
            parameter.fill_(0.5 if name.endswith('bias') else 0)
    measured = measure_phases(backbone, torch.randn(2, 3, 64, 64))
    assert len(measured) == 2 * sum(backbone.depths)
    # The batch norm of an untrained network divides by the root of 1 + 1e-5.
    assert all(each.mean == pytest.approx(0.5, rel=1e-4) for each in measured)
    assert all(each.coherence == pytest.approx(1) for each in measured)
    assert all(each.zero_share == 0 for each in measured)


def test_classes_are_mapped():
    torch.manual_seed(0)
    classifier = build_classifier('conv_mlp_s', num_classes=3).eval()
    images = torch.randn(2, 3, 64, 96)
    pictures = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    mapped = map_classes(classifier, images, pictures)
    scores, labels = classifier(images).softmax(1).max(1)
    assert [each.label for each in mapped] == labels.tolist()
    assert [each.score for each in mapped] == pytest.approx(scores.tolist())
    assert all(each.drawing.shape == (64, 96, 3) and each.drawing.any() for each in mapped)
    # The maps of stages 3 and 4 have 4x6 and 2x3 positions.
    assert {each.layer.name for each in mapped} == {'stages.2.blocks.3'}


def test_images_too_small_for_maps_of_classes_are_refused():
    classifier = torch.nn.Module()
    classifier.backbone, classifier.head = S2MLP(S2MLP.small_arch), torch.nn.Identity()
    with pytest.raises(ValueError, match='images of 42x84 pixels: no block has a map of 4x4'):
        map_classes(classifier, torch.randn(1, 3, 42, 84), torch.zeros(1, 42, 84, 3))


def test_missing_grad_cam_is_named_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmvmlp\[inspect\]"'):
        inspect_network(noise_for(ResMLP), ['class-activation'], tmp_path / 'new', {})
    assert not (tmp_path / 'new').exists()


def test_networks_with_random_weights_are_alike_in_each_run():
    first, second = (find_subject('conv_mlp_s', None, [], (32, 48), 2) for _ in range(2))
    assert first.images.shape == (2, 3, 32, 48)
    assert torch.equal(first.images, second.images)
    weights = second.backbone.state_dict()
    assert all(torch.equal(weights[name], of) for name, of in first.backbone.state_dict().items())


@pytest.mark.parametrize(
    ('network', 'shape', 'noise', 'message'),
    [
        ('configs/classify_hire_mlp_t_digits.py', None, 1, 'checkpoint of the whole trained model'),
        ('hire_mlp_x', None, 1, 'is not a backbone'),
        ('conv_mlp_s', (0, 32), 1, 'height=0'),
        ('conv_mlp_s', (32, 32), 0, 'noise=0'),
    ],
)
def test_unclear_input_is_refused(network, shape, noise, message):
    with pytest.raises(ValueError, match=message):
        find_subject(network, None, [], shape, noise)
