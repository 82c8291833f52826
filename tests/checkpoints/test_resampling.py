"""Checkpoints of another native size are resampled when asked for, and refused otherwise."""

import dataclasses

import pytest
import torch
from parity import official_state_dict

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.checkpoints import CheckpointError, OfficialPretrained
from mmvmlp.ops import AxialMixing, DenseMixing, SegmentMixing


def small(family, size, **arguments):
    """Return a small network of a native size, without anything random in its outputs."""
    torch.manual_seed(size)
    arch = {**dataclasses.asdict(family(arch=family.small_arch).arch), 'image_size': size}
    return family(arch=arch, **arguments).eval().double()


def has_fixed_matrices(family):
    modules = family(arch=family.small_arch).modules()
    return any(isinstance(module, (AxialMixing, DenseMixing, SegmentMixing)) for module in modules)


fixed = pytest.mark.parametrize(
    'family',
    [family for family in registered_families() if has_fixed_matrices(family)],
    ids=lambda family: family.__name__,
)


@fixed
@pytest.mark.parametrize('size', [32, 96])
def test_resampled_weights_give_what_resize_gives(family, size):
    trained = small(family, 64, resolution='resize')
    model = small(family, size, resolution='native')
    report = mmvmlp.load_checkpoint(model, trained.state_dict(), resample_tokens=True)
    assert set(report.matched) == set(model.state_dict())
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    for found, expected in zip(model(images), trained(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('name', ['smlpnet_tiny', 'resmlp_s12'])
def test_official_weights_are_resampled_as_ours_are(name):
    official = official_state_dict(name)
    original = mmvmlp.build_backbone(name)
    mmvmlp.load_checkpoint(original, official)
    arch = {**dataclasses.asdict(original.arch), 'image_size': 256}
    from_official, from_ours = (type(original)(arch=arch) for _ in range(2))
    mmvmlp.load_checkpoint(from_official, official, resample_tokens=True)
    mmvmlp.load_checkpoint(from_ours, original.state_dict(), resample_tokens=True)
    for key, tensor in from_ours.state_dict().items():
        torch.testing.assert_close(from_official.state_dict()[key], tensor, rtol=0, atol=1e-6)


def test_googles_weights_are_transposed_before_they_are_resampled():
    (google,) = (f for f in mmvmlp.MLPMixer.official_formats if 'Google' in f.name)
    mixing = DenseMixing(3, 'native', hidden_tokens=5)
    published = {
        'fc1.weight': torch.randn(4, 5),
        'fc1.bias': torch.randn(5),
        'fc2.weight': torch.randn(5, 4),
        'fc2.bias': torch.randn(4),
    }
    for key, shape in mixing.native_shapes(published).items():
        ours = google.our_tensor(f'stages.0.blocks.0.token_mixing.{key}', published[key], shape)
        assert torch.equal(ours, published[key].T)


@fixed
def test_weights_of_the_same_size_are_loaded_as_they_are(family, tmp_path):
    trained, model = small(family, 64), small(family, 64)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.uniform_()
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    OfficialPretrained(str(tmp_path / 'trained.pth'), resample_tokens=True)(model)
    assert all(
        torch.equal(tensor, model.state_dict()[key]) for key, tensor in trained.state_dict().items()
    )


@fixed
def test_another_size_is_refused_by_default_and_another_width_always(family):
    weights = small(family, 64).state_dict()
    with pytest.raises(CheckpointError, match='of different shape'):
        mmvmlp.load_checkpoint(small(family, 96), weights)
    channels = family.small_arch['channels']
    doubled = 2 * channels if isinstance(channels, int) else [2 * width for width in channels]
    wider = family(arch={**family.small_arch, 'channels': doubled, 'image_size': 96})
    with pytest.raises(CheckpointError, match='of different shape'):
        mmvmlp.load_checkpoint(wider, weights, resample_tokens=True)


@pytest.mark.parametrize(
    ('family', 'reason'),
    [(mmvmlp.RaftMLP, 'grow with its native size'), (mmvmlp.HireMLP, 'no token mixing of a nat')],
)
def test_networks_that_cannot_be_resampled_say_why(family, reason):
    model = family(family.small_arch)
    with pytest.raises(ValueError, match=f'resample_tokens=True: .*{family.__name__}.*{reason}'):
        mmvmlp.load_checkpoint(model, model.state_dict(), resample_tokens=True)
