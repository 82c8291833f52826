"""The first convolution adapts to other image channels when asked for."""

import pytest
import torch

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.checkpoints import OfficialPretrained

families = pytest.mark.parametrize(
    'family', registered_families(), ids=lambda family: family.__name__
)


@families
@pytest.mark.parametrize('channels', [1, 6])
@torch.no_grad()
def test_images_of_equal_channels_give_the_same(family, channels):
    torch.manual_seed(0)
    trained = family(family.small_arch).double().eval()
    model = family(family.small_arch, in_channels=channels).double().eval()
    with pytest.raises(mmvmlp.CheckpointError, match='of different shape: stem'):
        mmvmlp.load_checkpoint(model, trained.state_dict())
    report = mmvmlp.load_checkpoint(model, trained.state_dict(), adapt_stem=True)
    assert set(report.matched) == set(model.state_dict())
    image = torch.randn(1, 1, 64, 64, dtype=torch.float64)
    expected = trained(image.expand(-1, 3, -1, -1))
    for found, map_ in zip(model(image.expand(-1, channels, -1, -1)), expected, strict=True):
        torch.testing.assert_close(found, map_, rtol=1e-9, atol=1e-9)


def test_published_weights_of_another_layout_adapt(tmp_path):
    (google,) = (one for one in mmvmlp.MLPMixer.official_formats if 'Google' in one.name)
    trained = mmvmlp.MLPMixer(mmvmlp.MLPMixer.small_arch)
    strides = [level.stride for level in trained.levels()]
    published = google.official_tensors(trained.state_dict(), trained.depths, strides)
    torch.save(published, tmp_path / 'trained.pth')
    grey = mmvmlp.MLPMixer(mmvmlp.MLPMixer.small_arch, in_channels=1)
    OfficialPretrained(str(tmp_path / 'trained.pth'), adapt_stem=True)(grey)
    torch.testing.assert_close(grey.stem.conv.weight, trained.stem.conv.weight.sum(1, keepdim=True))


def test_channels_that_do_not_repeat_equally_are_scaled_as_in_timm():
    trained = mmvmlp.HireMLP(mmvmlp.HireMLP.small_arch)
    model = mmvmlp.HireMLP(mmvmlp.HireMLP.small_arch, in_channels=4)
    mmvmlp.load_checkpoint(model, trained.state_dict(), adapt_stem=True)
    expected = trained.stem.conv.weight[:, [0, 1, 2, 0]] * 0.75
    torch.testing.assert_close(model.stem.conv.weight, expected)
