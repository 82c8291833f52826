"""Backbones and classifiers by name, in all spellings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.config.loading import load_config

CLASSIFIERS = sorted(
    path.stem.removeprefix('classify_')
    for path in Path('configs').glob('classify_*.py')
    if not path.stem.endswith(('_digits', '_finetune', '_distill'))
)
TINY = ('hire_mlp_tiny', 'hire_mlp_t', 'hire-mlp-t_in1k', 'Hire-MLP-Tiny', 'hire_mlp_t.in1k')


@pytest.mark.parametrize('name', TINY)
@pytest.mark.parametrize('build', [mmvmlp.build_backbone, mmvmlp.build_classifier])
def test_spellings_of_one_name_build_one_network(build, name):
    with torch.device('meta'):
        built, expected, other = build(name), build(TINY[0]), build('hire_mlp_s')
    assert repr(built) == repr(expected) != repr(other)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_a_classifiers_config_is_named_after_its_network(name):
    config = load_config(f'configs/classify_{name}.py')
    with torch.device('meta'):
        expected = MODELS.build(config.model.backbone).arch
        assert mmvmlp.build_backbone(name).arch == expected
        assert mmvmlp.build_backbone(f'{name.replace("_", "-").upper()}_in1k').arch == expected


@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.__name__)
def test_architectures_may_be_spelled_like_networks(family):
    for variant in family.variants:
        short = variant.replace('tiny', 't').replace('small', 's').replace('base', 'b')
        with torch.device('meta'):
            assert family(arch=short.upper()).arch is family.variants[variant], variant


def test_only_canonical_names_are_listed():
    with torch.device('meta'):
        for name in mmvmlp.list_backbones():
            family = mmvmlp.build_backbone(name)
            assert name in {f'{family.name_prefix}_{variant}' for variant in family.variants}
    assert not set(TINY[1:]) & set(mmvmlp.list_backbones())


@pytest.mark.parametrize(
    ('name', 'closest'),
    [
        ('Hire-MLP-smal', 'hire_mlp_small'),
        ('smlpnet-tinny', 'smlpnet_tiny'),
        ('resmlp_s_12', 'resmlp_s12'),
    ],
)
def test_unknown_names_suggest_the_closest_and_list_the_known_ones(name, closest):
    with pytest.raises(ValueError, match=f"'{name}'.*mean '{closest}'.*hire_mlp_large.*resmlp_b24"):
        mmvmlp.build_backbone(name)


@pytest.mark.parametrize('name', ['', 'resnet50', 't', None, 3])
def test_names_of_nothing_are_refused(name):
    with pytest.raises(
        ValueError, match=f'name={name!r} is not a backbone; accepted are .*hire_mlp_tiny'
    ):
        mmvmlp.build_classifier(name)


def test_a_name_and_an_architecture_do_not_go_together():
    with pytest.raises(TypeError, match=r"name='hire_mlp_tiny' .*HireMLP\(arch=\.\.\.\) builds"):
        mmvmlp.build_backbone('hire_mlp_tiny', arch='small')


def test_an_unknown_architecture_suggests_the_closest():
    with pytest.raises(
        ValueError, match=r"arch='tinny' \(did you mean 'tiny'\?\).*'tiny', 'small'"
    ):
        mmvmlp.HireMLP('tinny')


@pytest.mark.parametrize('num_classes', [0, True, 10.0, '10', None])
def test_wrong_numbers_of_classes_are_refused(num_classes):
    with pytest.raises(ValueError, match='num_classes=.*a positive integer is accepted'):
        mmvmlp.build_classifier('hire_mlp_tiny', num_classes)
    with torch.device('meta'):
        assert mmvmlp.build_classifier('hire_mlp_tiny', np.int64(10)).head.fc.out_features == 10
