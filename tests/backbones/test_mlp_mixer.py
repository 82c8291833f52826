"""MLP-Mixer against timm's, mmpretrain's and Google's formats, and a literal transcription."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import (
    assert_checkpoint_gives_its_networks_outputs,
    assert_converts_there_and_back,
    official_state_dict,
)
from reference import assert_equal_to_literal
from reference import dense as reference

import mmvmlp
from mmvmlp.backbones.mlp_mixer import MLPMixer
from mmvmlp.checkpoints import read_checkpoint
from mmvmlp.ops import DenseMixing

SMALL_ARCH = {'depth': 4, 'channels': 8, 'patch_size': 4, 'image_size': 16}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('mlp_mixer_s32', 19_104_624),
        ('mlp_mixer_s16', 18_528_264),
        ('mlp_mixer_b32', 60_293_428),
        ('mlp_mixer_b16', 59_880_472),
        ('mlp_mixer_l32', 206_939_264),
        ('mlp_mixer_l16', 208_196_168),
        ('mlp_mixer_h14', 432_350_952),
    ],
)
def test_classifiers_have_the_counted_size(name, parameters):
    with torch.device('meta'):
        model = mmvmlp.build_classifier(name, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ('name', 'timm_name'),
    [
        ('mlp_mixer_s32', 'mixer_s32_224'),
        ('mlp_mixer_s16', 'mixer_s16_224'),
    ],
)
def test_timms_checkpoints_give_timms_outputs(name, timm_name):
    torch.manual_seed(0)
    assert_checkpoint_gives_its_networks_outputs(timm.create_model(timm_name), name)


def test_mmpretrains_checkpoints_give_its_outputs():
    from mmengine.registry import init_default_scope
    from mmpretrain.models import ImageClassifier

    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    theirs = ImageClassifier(
        # Its own default epsilon, 1e-5, is not the official one.
        backbone={'type': 'MlpMixer', 'arch': 's', 'norm_cfg': {'type': 'LN', 'eps': 1e-6}},
        neck={'type': 'GlobalAveragePooling', 'dim': 1},
        head={'type': 'LinearClsHead', 'num_classes': 1000, 'in_channels': 512},
    )
    assert_checkpoint_gives_its_networks_outputs(theirs, 'mlp_mixer_s16')


def google_arrays(official):
    """Return a state dict of timm's names as the arrays of Google's files."""
    names = {
        'stem.proj.': 'stem/',
        'norm.': 'pre_head_layer_norm/',
        'head.': 'head/',
        'norm1.': 'LayerNorm_0/',
        'norm2.': 'LayerNorm_1/',
        'mlp_tokens.fc1.': 'token_mixing/Dense_0/',
        'mlp_tokens.fc2.': 'token_mixing/Dense_1/',
        'mlp_channels.fc1.': 'channel_mixing/Dense_0/',
        'mlp_channels.fc2.': 'channel_mixing/Dense_1/',
    }
    arrays = {}
    for key, tensor in official.items():
        prefix, rest = '', key
        if key.startswith('blocks.'):
            _, number, rest = key.split('.', 2)
            prefix = f'MixerBlock_{number}/'
        layer, _, leaf = rest.rpartition('.')
        array = tensor.numpy()
        if leaf == 'weight':
            leaf = 'scale' if array.ndim == 1 else 'kernel'
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        arrays[prefix + names[f'{layer}.'] + leaf] = array
    return arrays


@pytest.mark.slow
def test_googles_files_hold_the_same_network(tmp_path):
    file = tmp_path / 'Mixer-B_16.npz'
    official = official_state_dict('mlp_mixer_b16')
    np.savez(file, **google_arrays(official))
    ours = mmvmlp.build_classifier('mlp_mixer_b16', 1000).double()
    report = mmvmlp.load_checkpoint(ours, file)
    assert 'Google' in str(report)
    assert not (report.missing or report.unexpected or report.mismatched)
    expected = mmvmlp.build_classifier('mlp_mixer_b16', 1000).double()
    mmvmlp.load_checkpoint(expected, official)
    values = expected.state_dict()
    assert all(torch.equal(tensor, values[key]) for key, tensor in ours.state_dict().items())
    assert_converts_there_and_back(read_checkpoint(file), 'mlp_mixer_b16')


def test_damaged_numpy_files_are_refused_by_name(tmp_path):
    file = tmp_path / 'Mixer-B_16.npz'
    np.savez(file, **{'stem/kernel': np.zeros((4, 4))})
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(mmvmlp.CheckpointError, match=r"Mixer-B_16\.npz' cannot be read.*truncated"):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('mlp_mixer_s16'), file)
    np.savez(file, payload=np.array([object()]))
    with pytest.raises(mmvmlp.CheckpointError, match='other than weights'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('mlp_mixer_s16'), file)


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(4, 60),
    width=st.integers(4, 60),
    resolution=st.sampled_from(['resize', 'window']),
)
@torch.no_grad()
def test_any_size_gives_what_the_policy_means(height, width, resolution):
    torch.manual_seed(height)
    backbone = MLPMixer(SMALL_ARCH, resolution=resolution).double().eval()
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    assert_equal_to_literal(backbone, DenseMixing, reference.dense_mixing, image)


@torch.no_grad()
def test_windows_at_twice_the_size_are_the_papers_block_diagonal_growth():
    """Appendix C: K x K copies of the token MLP, each on a tile of its own."""
    torch.manual_seed(0)
    mixing = DenseMixing(4, 'window', hidden_tokens=6).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    tiles = x.reshape(2, 3, 2, 4, 2, 4).permute(0, 1, 2, 4, 3, 5).flatten(2)
    weight1 = torch.block_diag(*[mixing.fc1.weight] * 4)
    weight2 = torch.block_diag(*[mixing.fc2.weight] * 4)
    hidden = torch.nn.functional.gelu(tiles @ weight1.t() + mixing.fc1.bias.repeat(4))
    mixed = hidden @ weight2.t() + mixing.fc2.bias.repeat(4)
    expected = mixed.reshape(2, 3, 2, 2, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)
    torch.testing.assert_close(mixing(x), expected)


@pytest.mark.parametrize(
    ('field', 'value'), [('depth', 3), ('channels', 0), ('image_size', 18), ('patch_size', 2.5)]
)
def test_architectures_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(ValueError, match=f'{field}={value}'):
        MLPMixer({**SMALL_ARCH, field: value})
