"""Checkpoints that fit are loaded and reported; others are refused by name."""

import argparse
import http.server
import pickle
import threading
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader
from parity import official_state_dict
from safetensors.torch import save_file
from torch.torch_version import TorchVersion

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.checkpoints import (
    check_pretrained_modules,
    check_trained_checkpoint,
    mmengine_reading,
    read_checkpoint,
)


@pytest.fixture(scope='module')
def official():
    return official_state_dict('hire_mlp_tiny')


def test_report_for_a_classifier(official):
    model = mmvmlp.build_classifier('hire_mlp_tiny', 1000)
    report = mmvmlp.load_checkpoint(model, {'model': official})
    assert set(report.matched) == set(model.state_dict())
    assert not (report.missing or report.unexpected or report.mismatched)
    torch.testing.assert_close(
        model.head.fc.weight.double(), official['head.weight'], atol=1e-6, rtol=1e-6
    )
    assert 'Hire-MLP' in str(report)
    assert f'{len(official)} tensors loaded' in str(report)


def test_report_for_a_backbone_without_norms(official):
    report = mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), official)
    assert not (report.missing or report.mismatched)
    assert {key.partition('.')[0] for key in report.unexpected} == {'norm', 'head'}


def test_norms_of_levels_may_be_missing(official):
    backbone = mmvmlp.build_backbone('hire_mlp_tiny', out_norm=True)
    report = mmvmlp.load_checkpoint(backbone, official)
    assert {key.partition('.')[0] for key in report.missing} == {'norm0', 'norm1', 'norm2'}
    assert 'norm3.weight' in report.matched


def test_norms_of_levels_take_precedence_over_the_classifiers():
    state_dict = official_state_dict('hire_mlp_tiny', extra_norms=True)
    backbone = mmvmlp.build_backbone('hire_mlp_tiny', out_norm=True).double()
    report = mmvmlp.load_checkpoint(backbone, state_dict)
    assert not report.missing
    assert torch.equal(backbone.norm3.weight, state_dict['norm6.weight'])
    assert 'norm.weight' in report.unexpected


def test_fewer_levels_load_part_of_the_checkpoint(official):
    backbone = mmvmlp.build_backbone('hire_mlp_tiny', out_indices=(0, 1))
    report = mmvmlp.load_checkpoint(backbone, official)
    assert not report.missing
    assert any(key.startswith('network.6.') for key in report.unexpected)


@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.__name__)
@pytest.mark.parametrize('last', range(3))
def test_fewer_levels_of_every_family_load_part_of_the_checkpoint(family, last):
    whole = family(family.small_arch).state_dict()
    backbone = family(family.small_arch, out_indices=(last,))
    report = mmvmlp.load_checkpoint(backbone, whole)
    assert set(report.matched) == set(backbone.state_dict())
    with pytest.raises(mmvmlp.CheckpointError, match=r'unexpected .*stages\.0\.downsample'):
        mmvmlp.load_checkpoint(backbone, {**whole, 'stages.0.downsample.surplus': torch.zeros(1)})


def test_head_with_other_classes_is_reported_and_not_loaded(official):
    model = mmvmlp.build_classifier('hire_mlp_tiny', 10)
    report = mmvmlp.load_checkpoint(model, official)
    assert report.mismatched == (
        ('head.fc.weight', (1000, 512), (10, 512)),
        ('head.fc.bias', (1000,), (10,)),
    )


@pytest.mark.parametrize('nesting', ['model', 'state_dict', 'module', None])
@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.'])
def test_nesting_and_prefixes(official, nesting, prefix):
    contents = {prefix + key: tensor for key, tensor in official.items()}
    if nesting:
        contents = {nesting: contents, 'epoch': 300, 'args': argparse.Namespace(lr=1e-3)}
    report = mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), contents)
    assert not report.missing


@pytest.mark.parametrize('key', ['state_dict_ema', 'model_ema'])
def test_moving_average_is_loaded_when_asked_for(tmp_path, official, key):
    average = {name: tensor + 1 for name, tensor in official.items()}
    file = tmp_path / 'trained.pth.tar'
    torch.save({'state_dict': official, key: average}, file)
    for use_ema in (False, True):
        backbone = mmvmlp.build_backbone('hire_mlp_tiny')
        mmvmlp.load_checkpoint(backbone, file, use_ema=use_ema)
        initialised = mmvmlp.build_backbone(
            'hire_mlp_tiny',
            init_cfg={
                'type': 'mmvmlp.OfficialPretrained',
                'checkpoint': str(file),
                'use_ema': use_ema,
            },
        )
        initialised.init_weights()
        expected = (official['patch_embed.proj.bias'] + use_ema).float()
        for loaded in (backbone, initialised):
            torch.testing.assert_close(loaded.stem.conv.bias, expected)


def test_moving_average_that_is_not_there_is_refused(official):
    backbone = mmvmlp.build_backbone('hire_mlp_tiny')
    with pytest.raises(mmvmlp.CheckpointError, match='no moving average .*use_ema=True'):
        mmvmlp.load_checkpoint(backbone, {'state_dict': official}, use_ema=True)


@pytest.mark.parametrize(
    ('name', 'named'),
    [
        ('hire_mlp_small', 'missing in the checkpoint: stages.0.blocks.2'),
        ('hire_mlp_large', 'of different shape: stem.conv.weight'),
    ],
)
def test_checkpoint_of_another_variant_leaves_the_model_unchanged(official, name, named):
    backbone = mmvmlp.build_backbone(name)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with pytest.raises(mmvmlp.CheckpointError, match=named.replace('.', r'\.')):
        mmvmlp.load_checkpoint(backbone, official)
    after = backbone.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


def test_checkpoint_of_a_deeper_network_is_refused(official):
    deeper = official | {
        key.replace('network.0.1.', 'network.0.2.'): tensor
        for key, tensor in official.items()
        if key.startswith('network.0.1.')
    }
    with pytest.raises(mmvmlp.CheckpointError, match=r'unexpected .*network\.0\.2\.'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), deeper)


def test_missing_tensor_is_refused(official):
    incomplete = {k: v for k, v in official.items() if k != 'network.4.1.attn.mlp_w2.bias'}
    with pytest.raises(
        mmvmlp.CheckpointError, match=r'stages\.2\.blocks\.1\.token_mixing\.width\.expand\.bias'
    ):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), incomplete)


@pytest.mark.parametrize(
    'foreign',
    [
        {'state_dict': {'layer1.0.conv1.weight': torch.zeros(1), 'fc.weight': torch.zeros(1)}},
        {'epoch': 3},
        {'model': {}},
    ],
)
def test_foreign_checkpoint_is_refused(foreign):
    with pytest.raises(mmvmlp.CheckpointError, match='layer1|no tensors'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), foreign)


def test_model_without_our_backbone_is_refused(official):
    with pytest.raises(TypeError, match='Linear.*VisionMLP'):
        mmvmlp.load_checkpoint(torch.nn.Linear(2, 2), official)


def test_own_checkpoints_load_into_any_model_with_the_backbone():
    classifier = mmvmlp.build_classifier('hire_mlp_tiny', 10)
    contents = {'state_dict': classifier.state_dict()}
    backbone = mmvmlp.build_backbone('hire_mlp_tiny')
    report = mmvmlp.load_checkpoint(backbone, contents)
    assert not report.missing
    assert torch.equal(backbone.stem.conv.weight, classifier.backbone.stem.conv.weight)
    other = mmvmlp.build_classifier('hire_mlp_tiny', 10)
    assert not mmvmlp.load_checkpoint(other, backbone.state_dict()).mismatched
    assert torch.equal(other.backbone.stem.conv.weight, backbone.stem.conv.weight)
    with pytest.raises(mmvmlp.CheckpointError, match='missing'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_small'), contents)


def test_records_of_training_scripts_are_read(tmp_path, official):
    file = tmp_path / 'checkpoint.pth'
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    torch.save(
        {'model': official, 'args': argparse.Namespace(lr=0.1), 'message_hub': {'loss': history}},
        file,
    )
    report = mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), file)
    assert not report.missing
    assert str(file) in str(report)


def test_safetensors_files_are_read_and_refused_when_truncated(tmp_path, official):
    file = tmp_path / 'model.safetensors'
    save_file(official, file)
    report = mmvmlp.load_checkpoint(mmvmlp.build_classifier('hire_mlp_tiny', 1000), file)
    assert not (report.missing or report.unexpected or report.mismatched)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(mmvmlp.CheckpointError, match=r"safetensors' cannot be read.*truncated"):
        read_checkpoint(file)


def test_safetensors_files_may_name_their_classes(tmp_path):
    file, tensors = tmp_path / 'model.safetensors', {'weight': torch.zeros(1)}
    save_file(tensors, file, {'dataset_meta': '{"classes": ["cat", "dog"]}', 'config': 'pets.py'})
    assert read_checkpoint(file) == {
        'meta': {'dataset_meta': {'classes': ['cat', 'dog']}, 'config': 'pets.py'},
        'state_dict': tensors,
    }
    for written, expected in (
        ('{"classes": "secrets.txt"}', 'in place of class names'),
        ('["cat", "dog"]', 'not an object'),
        ('{"classes": ', 'cannot be read'),
    ):
        save_file(tensors, file, {'dataset_meta': written})
        with pytest.raises(mmvmlp.CheckpointError, match=expected):
            read_checkpoint(file)


def test_files_that_would_run_code_are_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / 'written-by-pickle'), 'w'))

    file = tmp_path / 'checkpoint.pth'
    torch.save({'model': {'weight': torch.zeros(1)}, 'payload': Payload()}, file)
    with pytest.raises(mmvmlp.CheckpointError, match='objects other than weights'):
        read_checkpoint(file)
    assert not (tmp_path / 'written-by-pickle').exists()


@pytest.mark.parametrize('bytes_left', [0, 10, 0.5, 0.999])
def test_truncated_files_are_refused_by_name(tmp_path, official, bytes_left):
    file = tmp_path / 'checkpoint.pth'
    torch.save({'model': official}, file)
    contents = file.read_bytes()
    kept = bytes_left if isinstance(bytes_left, int) else int(len(contents) * bytes_left)
    file.write_bytes(contents[:kept])
    with pytest.raises(mmvmlp.CheckpointError, match=r"checkpoint\.pth' cannot be read.*truncated"):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), file)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no-such'):
        mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), tmp_path / 'no-such.pth')


def test_urls_are_downloaded(tmp_path, official, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    (tmp_path / 'served').mkdir()
    torch.save({'model': official}, tmp_path / 'served' / 'tiny.pth')
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / 'served')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}/tiny.pth'
        report = mmvmlp.load_checkpoint(mmvmlp.build_backbone('hire_mlp_tiny'), address)
        server.shutdown()
    assert not report.missing


def test_init_cfg_loads_in_a_detector(tmp_path, official):
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    file = tmp_path / 'tiny.pth'
    torch.save({'model': official}, file)
    config = Config.fromfile('configs/mask_rcnn_hire_mlp_t_digits.py')
    config.model.backbone.init_cfg = {'type': 'mmvmlp.OfficialPretrained', 'checkpoint': str(file)}
    init_default_scope('mmdet')
    detector = MODELS.build({**config.model, 'type': 'mmdet.MaskRCNN'})
    detector.init_weights()
    torch.testing.assert_close(
        detector.backbone.stem.conv.weight.double(),
        official['patch_embed.proj.weight'],
        atol=1e-6,
        rtol=1e-6,
    )


def test_init_cfg_is_not_ignored_without_a_runner(tmp_path):
    init_cfg = {'type': 'mmvmlp.OfficialPretrained', 'checkpoint': str(tmp_path / 'none.pth')}
    with pytest.raises(FileNotFoundError, match='none.pth'):
        mmvmlp.build_backbone('hire_mlp_tiny', init_cfg=init_cfg)


def test_trained_checkpoint_must_match_the_whole_model(tmp_path):
    model = mmvmlp.build_classifier('hire_mlp_tiny', 10)
    file = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': model.state_dict()}, file)
    check_trained_checkpoint(model, read_checkpoint(file), file)
    with pytest.raises(mmvmlp.CheckpointError, match='head.fc.weight'):
        check_trained_checkpoint(
            mmvmlp.build_classifier('hire_mlp_tiny', 11), read_checkpoint(file), file
        )
    torch.save({'state_dict': model.backbone.state_dict()}, file)
    with pytest.raises(mmvmlp.CheckpointError, match='missing in the checkpoint: backbone.stem'):
        check_trained_checkpoint(model, read_checkpoint(file), file)


@pytest.mark.parametrize(
    ('damage', 'named'),
    [
        (lambda tensor: tensor.to_sparse(), 'sparse'),
        (lambda tensor: tensor.to('meta'), 'meta'),
        (lambda tensor: tensor.to(torch.int64), 'int64'),
        (lambda tensor: tensor.to(torch.bool), 'bool'),
        (lambda tensor: tensor.to(torch.complex64), 'complex'),
        (lambda tensor: tensor.float() * float('inf'), 'not finite'),
    ],
    ids=['sparse', 'meta', 'int', 'bool', 'complex', 'infinite'],
)
def test_single_unusable_tensor_leaves_the_model_unchanged(official, damage, named):
    backbone = mmvmlp.build_backbone('hire_mlp_tiny')
    key = [key for key in official if key.startswith('network.6.') and key.endswith('weight')][-1]
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(mmvmlp.CheckpointError, match=f'{key}.*{named}'):
        mmvmlp.load_checkpoint(backbone, {**official, key: damage(official[key])})
    after = backbone.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not mmvmlp.load_checkpoint(backbone, official).missing


def test_urls_with_the_same_file_name_are_different_files(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    for value in (0, 1):
        (tmp_path / str(value)).mkdir()
        torch.save({'weight': torch.full((1,), value)}, tmp_path / str(value) / 'model.pth')
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        read = [read_checkpoint(f'{address}/{value}/model.pth')['weight'] for value in (0, 1, 0)]
        server.shutdown()
    assert [int(weight) for weight in read] == [0, 1, 0]


@pytest.mark.parametrize('contents', [b'garbage', b'', pickle.dumps({'a': 1}, protocol=2)])
def test_no_message_recommends_unsafe_reading(tmp_path, contents):
    file = tmp_path / 'model.pth'
    file.write_bytes(contents[:-1])
    with pytest.raises(mmvmlp.CheckpointError) as raised:
        read_checkpoint(file)
    assert 'weights_only' not in str(raised.value)


def test_unsafe_torch_reads_other_formats_only(tmp_path, official, monkeypatch):
    tensors = {'weight': torch.zeros(1)}
    torch.save(tensors, tmp_path / 'model.pth')
    save_file(tensors, tmp_path / 'model.safetensors')
    assert read_checkpoint(tmp_path / 'model.pth') == tensors
    monkeypatch.setattr(torch, '__version__', TorchVersion('2.9.1+cu128'))
    assert read_checkpoint(tmp_path / 'model.safetensors') == tensors
    with pytest.raises(mmvmlp.CheckpointError, match=r'2\.9\.1.*safetensors.*2\.10'):
        read_checkpoint(tmp_path / 'model.pth')
    monkeypatch.setattr(torch, '__version__', TorchVersion('2.10.0'))
    assert read_checkpoint(tmp_path / 'model.pth') == tensors


@pytest.mark.parametrize('as_list', [False, True])
def test_pretrained_is_strict(tmp_path, official, as_list):
    file = tmp_path / 'tiny.pth'
    torch.save({'model': official}, file)
    init_cfg = {'type': 'Pretrained', 'checkpoint': str(file)}
    init_cfg = [init_cfg] if as_list else init_cfg
    backbone = mmvmlp.build_backbone('hire_mlp_tiny', init_cfg=init_cfg)
    weight = official['patch_embed.proj.weight'].float()
    torch.testing.assert_close(backbone.stem.conv.weight.detach(), weight)
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.build_backbone('hire_mlp_small', init_cfg=init_cfg)


@pytest.mark.parametrize('nesting', [('state_dict',), ('model',), ('state_dict', 'model'), ()])
def test_mmengine_loads_the_checked_tensors_at_any_nesting(tmp_path, nesting):
    contents = {f'module.{key}': value for key, value in torch.nn.Linear(2, 2).state_dict().items()}
    for key in reversed(nesting):
        contents = {key: contents, 'meta': {'epoch': 1}}
    torch.save(contents, tmp_path / 'model.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'model.pth'))
    assert set(loaded['state_dict']) == {'weight', 'bias'}
    assert loaded.get('meta') == ({'epoch': 1} if nesting else None)


@pytest.mark.parametrize('name', ['torchvision://resnet50', 'mmcls://vgg11', 'open-mmlab://vgg16'])
def test_model_zoos_of_mmengine_are_read_safely(monkeypatch, name):
    read = []

    def reader(address, map_location):
        read.append(address)
        return {'backbone.weight': torch.zeros(1)}

    monkeypatch.setattr(mmengine_reading, 'read_checkpoint', reader)
    if name.startswith('open-mmlab'):
        table = {'vgg16': 'https://models.example/vgg16.pth'}
        monkeypatch.setitem(mmengine_reading.MODEL_ZOOS, 'open-mmlab://', lambda: table)
    contents = CheckpointLoader.load_checkpoint(name)
    assert read[0].startswith('https://')
    prefix = '' if name.startswith('mmcls') else 'backbone.'
    assert set(contents['state_dict']) == {f'{prefix}weight'}


@pytest.mark.parametrize('module', ['core', '_core'])
def test_numbers_from_numpy_1_and_2_are_read(tmp_path, module):
    file = tmp_path / 'model.pth'
    torch.save({'weight': torch.zeros(1), 'records': {'loss': np.float64(0.5)}}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, 'w') as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(b'cnumpy._core.', f'cnumpy.{module}.'.encode()))
    assert read_checkpoint(file)['records'] == {'loss': 0.5}


@pytest.mark.parametrize('kind', ['Pretrained', 'mmengine.Pretrained', PretrainedInit])
def test_pretrained_is_strict_under_all_names(tmp_path, official, kind):
    torch.save({'zz': torch.zeros(1)}, tmp_path / 'junk.pth')
    init_cfg = {'type': kind, 'checkpoint': str(tmp_path / 'junk.pth')}
    with pytest.raises(mmvmlp.CheckpointError, match='another network'):
        mmvmlp.build_backbone('hire_mlp_tiny', init_cfg=init_cfg)
    classifier = mmvmlp.build_classifier('hire_mlp_tiny', 10)
    check_pretrained_modules(classifier)
    classifier.head.init_cfg = init_cfg
    with pytest.raises(mmvmlp.CheckpointError, match='model.head.init_cfg'):
        check_pretrained_modules(classifier)


@pytest.mark.parametrize('scheme', ['pavi://model', 'open-mmlab://no/such/model'])
def test_unsupported_schemes_are_refused(scheme):
    with pytest.raises(mmvmlp.CheckpointError, match=scheme):
        CheckpointLoader.load_checkpoint(scheme)
