"""Backbones of other packages: what they need not say, and errors that name what is wrong.

tests/test_own_backbone.py uses one in all commands.
"""

import runpy
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import mmvmlp
from mmvmlp.backbones import Architecture, FeatureInfo, Stage, VisionMLP, other_packages
from mmvmlp.registry import MODELS


@dataclass(frozen=True)
class OwnArchitecture(Architecture):
    """Architecture of a network without token mixing."""

    depths: tuple[int, int, int, int] = (1, 1, 1, 1)
    channels: int = 4


class OwnMLP2(VisionMLP):
    """The least that a backbone has."""

    variants = {'small': OwnArchitecture(), 'large': OwnArchitecture(channels=8)}

    def levels(self):
        return (FeatureInfo(self.arch.channels, 4),) * 4

    def build_stem(self):
        return nn.Conv2d(self.in_channels, self.arch.channels, 4, 4)

    def build_stage(self, stage):
        return Stage([nn.Conv2d(self.arch.channels, self.arch.channels, 1)])


def test_the_least_is_enough():
    backbone = OwnMLP2(out_norm=True).eval()
    assert (backbone.name_prefix, backbone.title, backbone.paper) == ('own_mlp2', 'OwnMLP2', '')
    assert backbone.smallest_variant == 'small'
    assert OwnMLP2(OwnMLP2.small_arch).arch == backbone.arch == OwnMLP2.variants['small']
    images = torch.randn(1, 3, 33, 50)
    maps = backbone(images)
    assert [level.shape for level in maps] == [(1, 4, 8, 12)] * 4
    for fused, level in zip(mmvmlp.fuse(backbone)(images), maps, strict=True):
        torch.testing.assert_close(fused, level)


def test_a_derived_family_has_a_name_of_its_own():
    class Other(OwnMLP2):
        title = 'Another MLP'

    assert (Other.name_prefix, Other.title) == ('other', 'Another MLP')
    assert Other().arch == OwnMLP2().arch


@pytest.mark.parametrize('variants', [{}, ['tiny'], {'tiny': {'depths': (1, 1, 1, 1)}}], ids=str)
def test_variants_that_are_none_are_refused(variants):
    with pytest.raises(TypeError, match=r'Wrong\.variants=.*mmvmlp\.backbones\.Architecture'):
        type('Wrong', (OwnMLP2,), {'variants': variants})


@pytest.mark.parametrize(
    ('methods', 'error', 'message'),
    [
        ({'levels': lambda self: ()}, ValueError, r'Wrong\.levels\(\) returns 0 levels: 4 are'),
        (
            {'build_stage': lambda self, stage: nn.Sequential()},
            TypeError,
            r'Wrong\.build_stage\(0\) returns a Sequential: a mmvmlp.backbones.Stage is accepted',
        ),
    ],
)
def test_wrong_parts_are_named(methods, error, message):
    with pytest.raises(error, match=message):
        type('Wrong', (OwnMLP2,), methods)()


def test_missing_parts_are_named():
    with pytest.raises(TypeError, match=r'Bare\.variants is missing'):
        type('Bare', (VisionMLP,), {})()
    with pytest.raises(TypeError, match='abstract class Bare .*build_stage.*build_stem.*levels'):
        type('Bare', (VisionMLP,), {'variants': OwnMLP2.variants})()


def test_two_families_of_one_name_are_refused(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'OwnMLP2', OwnMLP2)
    assert {'own_mlp2_small', 'own_mlp2_large'} <= set(mmvmlp.list_backbones())
    other = type('Other', (OwnMLP2,), {'name_prefix': 'own_mlp2'})
    monkeypatch.setitem(MODELS.module_dict, 'Other', other)
    with pytest.raises(ValueError, match="Other.name_prefix='own_mlp2': OwnMLP2 already has"):
        mmvmlp.list_backbones()


def test_a_package_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    installed = tmp_path / 'broken-0.1.dist-info'
    installed.mkdir()
    (installed / 'METADATA').write_text('Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n')
    (installed / 'entry_points.txt').write_text('[mmvmlp.backbones]\nbroken = absent_module\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="broken names 'absent_module'.*uninstall broken"):
        runpy.run_path(other_packages.__file__)
