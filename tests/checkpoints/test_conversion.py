"""Published checkpoints convert to ours and back to the same bits, through files too."""

import json
import re

import pytest
import torch
from parity import FOLDER, assert_converts_there_and_back

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.checkpoints import convert_tensors, extract_state_dict, read_checkpoint

MODELS = sorted(file.stem for file in FOLDER.glob('*.json'))
FORMATS = [(family, one) for family in registered_families() for one in family.official_formats]


def published_tensors(model, norms='shapes'):
    """Return tensors with the keys and shapes that a published file has, and other values."""
    described = json.loads((FOLDER / f'{model}.json').read_text())
    generator = torch.Generator().manual_seed(0)
    shapes = {**described['shapes'], **described.get(norms, {})}
    tensors = {
        key: torch.randn(shape, generator=generator)
        if not key.endswith('num_batches_tracked')
        else torch.tensor(7)
        for key, shape in shapes.items()
    }
    for key in described.get('ignored_keys', ()):
        channels = shapes[key][1] // 2
        axis = 1 if '.sfc_h.' in key else 0
        # The official loop, channel by channel.
        for channel in range(channels):
            tensors[key][0, 2 * channel + axis] = (channel + 1) % 3 - 1
            tensors[key][0, 2 * channel + 1 - axis] = 0
    return tensors


@pytest.mark.parametrize('model', MODELS)
def test_published_tensors_convert_there_and_back(model):
    assert_converts_there_and_back(published_tensors(model))


@pytest.mark.parametrize('model', ['as_mlp_t', 'cycle_mlp_b1'])
def test_tensors_of_dense_backbones_convert_there_and_back(model):
    tensors = published_tensors(model, 'extra_norm_shapes')
    of_classifier = re.compile(r'(norm|head)\.')
    assert_converts_there_and_back(
        {key: tensor for key, tensor in tensors.items() if not of_classifier.match(key)}, model
    )


@pytest.mark.parametrize(
    ('family', 'official'), FORMATS, ids=lambda value: getattr(value, '__name__', None)
)
def test_every_tensor_of_a_network_has_a_place_in_the_format(family, official):
    backbone = family(family.small_arch, out_indices=(-1,), out_norm=True)
    strides = [level.stride for level in backbone.levels()]
    ours = {
        **{key: torch.rand(tensor.shape) for key, tensor in backbone.state_dict().items()},
        'head.fc.weight': torch.rand(5, backbone.feature_info[-1].channels),
        'head.fc.bias': torch.rand(5),
    }
    published = official.official_tensors(ours, backbone.depths, strides)
    assert official.signature in published
    back = backbone.converted(official, published, {**backbone.state_dict(), **ours})
    assert back.keys() == ours.keys()
    assert all(torch.equal(tensor, ours[name]) for name, (_, tensor) in back.items())


def test_files_convert_through_every_suffix(tmp_path, run):
    published = published_tensors('conv_mlp_s')
    source, ours, arrays, back = (
        tmp_path / name for name in ('a.pth', 'b.safetensors', 'c.npz', 'd.pth')
    )
    torch.save({'state_dict': published, 'optimizer': {'state': torch.zeros(3)}}, source)
    assert 'conv_mlp_s, 184 tensors' in run('tools/convert.py', source, ours)
    backbone = mmvmlp.build_backbone('conv_mlp_s')
    assert not mmvmlp.load_checkpoint(backbone, ours).missing
    run('tools/convert.py', ours, arrays, '--to', 'official', '--network', 'Conv-MLP-S')
    run('tools/convert.py', arrays, back, '--to', 'official')
    found = extract_state_dict(read_checkpoint(back))
    assert found.keys() == published.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in published.items())

    before = back.read_bytes()
    assert '--overwrite replaces it' in run('tools/convert.py', ours, back, expect=1)
    assert back.read_bytes() == before
    run('tools/convert.py', ours, back, '--overwrite')
    assert 'stem.conv.weight' in ''.join(read_checkpoint(back)['state_dict'])
    for options, message in (
        (('--network', 'conv_mlp_m'), 'does not fit conv_mlp_m: '),
        (('--network', 'conv_mlp_x'), "'conv_mlp_x' is not a backbone"),
        (('--to', 'timm'), "to='timm': accepted are 'ours', 'official'"),
    ):
        assert message in run('tools/convert.py', ours, tmp_path / 'no.pth', *options, expect=1)
    assert '.safetensors, .npz' in run('tools/convert.py', ours, tmp_path / 'no.onnx', expect=1)
    assert not list(tmp_path.glob('no.*'))


def test_what_cannot_be_converted_exactly_is_refused():
    tensors = published_tensors('cycle_mlp_b1')
    moved = next(key for key in tensors if key.endswith('.offset'))
    with pytest.raises(mmvmlp.CheckpointError, match=f'cannot be converted exactly.*{moved}'):
        convert_tensors({**tensors, moved: tensors[moved] + 1})
    for surplus in ('network.0.9.norm1.weight', 'norm.surplus'):
        with pytest.raises(mmvmlp.CheckpointError, match='is unknown'):
            convert_tensors({**tensors, surplus: torch.zeros(1)}, network='cycle_mlp_b1')
    with pytest.raises(mmvmlp.CheckpointError, match='of none of our networks'):
        convert_tensors({'layer1.0.conv1.weight': torch.zeros(1)})
