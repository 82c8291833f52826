"""A published model loads again, from a folder and from a repository, and runs nothing."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch

import mmvmlp
from mmvmlp.checkpoints import read_checkpoint
from mmvmlp.config.loading import load_config
from mmvmlp.hub import publish_checkpoint
from mmvmlp.hub.model_card import Provenance
from mmvmlp.inference.trained_model import load_trained_model

DEMO = 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors'
CONFIG = 'configs/mask_rcnn_hire_mlp_nano_digits.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return a checkpoint as training writes it: with optimizer state, records and an average."""
    contents = read_checkpoint(DEMO)
    average = {key: tensor * 2 for key, tensor in contents['state_dict'].items()}
    file = tmp_path_factory.mktemp('trained') / 'epoch_4.pth'
    meta = {'dataset_meta': {'classes': tuple('0123456789')}}
    torch.save(
        {
            'state_dict': contents['state_dict'],
            'state_dict_ema': average,
            'optimizer': {'state': {0: {'exp_avg': torch.zeros(10**6)}}},
            'meta': meta,
        },
        file,
    )
    return file


@pytest.fixture(scope='module')
def published(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp('published') / 'nano'
    about = Provenance('apache-2.0', 'digit scenes', {'coco/bbox_mAP': 0.5})
    publish_checkpoint(load_config(CONFIG), trained, folder, name='nano', about=about)
    return folder


def weights(folder):
    (file,) = folder.glob('*.safetensors')
    return file


@torch.no_grad()
def test_a_published_model_gives_equal_outputs(published, trained):
    expected = load_trained_model(load_config(CONFIG), trained, 'cpu')
    model = mmvmlp.from_pretrained(published)
    assert list(model.dataset_meta['classes']) == list('0123456789')
    assert not model.training
    images = torch.randn(1, 3, 128, 160)
    for found, map_ in zip(model.extract_feat(images), expected.extract_feat(images), strict=True):
        assert torch.equal(found, map_)
    assert weights(published).stat().st_size < 3_000_000


def test_the_card_has_the_hubs_metadata(published):
    card = huggingface_hub.ModelCard.load(published / 'README.md')
    assert card.data.library_name == 'mmvmlp'
    assert card.data.license == 'apache-2.0'
    assert card.data.datasets == ['digit scenes']
    assert card.data.pipeline_tag == 'object-detection'
    assert {'hire_mlp', 'mmdet'} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ('coco/bbox_mAP', 0.5)
    assert f'--checkpoint {weights(published).name}' in card.text


def test_a_repository_is_a_folder_of_the_hub(published, tmp_path, monkeypatch):
    remote = tmp_path / 'remote'

    class Hub:
        def create_repo(self, repository, private, exist_ok):
            (remote / repository).mkdir(parents=True)

        def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
            for name in allow_patterns:
                shutil.copy(Path(folder_path) / name, remote / repo_id)
            return f'https://hub/{repo_id}/commit/1'

    monkeypatch.setattr(huggingface_hub, 'HfApi', Hub)
    monkeypatch.setattr(
        huggingface_hub, 'snapshot_download', lambda repository, **options: remote / repository
    )
    assert mmvmlp.push_to_hub(published, 'someone/nano').endswith('someone/nano/commit/1')
    model = mmvmlp.from_pretrained('someone/nano')
    expected = read_checkpoint(DEMO)['state_dict']
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.items())
    with pytest.raises(FileNotFoundError, match='OWNER/NAME'):
        mmvmlp.from_pretrained('nowhere')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("type='MaskRCNN'", "type='os.system', command='touch ran'", "scope 'os'"),
        ("type='MaskRCNN'", "type='system', command='touch ran'", 'is not registered'),
        ("type='MaskRCNN'", "type='mmengine.Config'", 'is not registered'),
        ("type='MaskRCNN'", "type='subprocess.MaskRCNN'", "scope 'subprocess'"),
        ("type='MaskRCNN'", "type='MaskRCNN', _scope_='antigravity'", "scope 'antigravity'"),
        ('model = dict(', 'model = dict(**x, ', 'a mapping is unpacked'),
        ('model = dict(', 'model = dict(trust_remote_code=True, ', 'would load another model'),
        ("default_scope = 'mmdet'", "default_scope = 'this'", "scope 'this'"),
        ('model = dict(', "open('ran', 'w')\nmodel = dict(", 'is not a list of values'),
        ('model = dict(', "x = open('ran', 'w')\nmodel = dict(", 'is not a list of values'),
    ],
)
def test_a_config_of_a_stranger_runs_nothing(published, tmp_path, monkeypatch, old, new, message):
    folder = tmp_path / 'hostile'
    shutil.copytree(published, folder)
    config = (folder / 'config.py').read_text()
    assert old in config
    (folder / 'config.py').write_text(config.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        mmvmlp.from_pretrained(folder)
    assert not (tmp_path / 'ran').exists()


def test_damaged_weights_are_refused(published, tmp_path):
    folder = tmp_path / 'damaged'
    shutil.copytree(published, folder)
    contents = bytearray(weights(folder).read_bytes())
    contents[-1] ^= 1
    weights(folder).write_bytes(contents)
    for load in (mmvmlp.from_pretrained, lambda given: mmvmlp.push_to_hub(given, 'a/b')):
        with pytest.raises(mmvmlp.CheckpointError, match='its SHA-256 is'):
            load(folder)


def test_the_command_publishes_the_average_and_what_was_measured(trained, tmp_path, run):
    out, metrics = tmp_path / 'nano', tmp_path / 'metrics.json'
    metrics.write_text(json.dumps({'coco/bbox_mAP': 0.25}))
    given = ('tools/publish.py', trained, out, '--config', CONFIG)
    assert 'name the data' in run(*given, '--metrics', metrics, expect=1)
    assert not out.exists()
    run(*given, '--use-ema', '--metrics', metrics, '--dataset', 'digits', '--license', 'mit')
    model = mmvmlp.from_pretrained(out)
    expected = read_checkpoint(trained)['state_dict_ema']
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.items())
    assert '| coco/bbox_mAP | 0.25 |' in (out / 'README.md').read_text()
    assert 'exists and is not empty' in run(*given, expect=1)
    file = weights(out)
    shown = run('tools/verify.py', file, '--config', out / 'config.py')
    assert 'as in its name' in shown
    assert 'no moving average' in run(
        *('tools/publish.py', file, tmp_path / 'other', '--config', CONFIG, '--use-ema'), expect=1
    )


def test_averages_of_mmengine_are_the_weights_of_its_checkpoints(trained, tmp_path):
    state = read_checkpoint(trained)['state_dict']
    last = {f'module.{key}': tensor + 1 for key, tensor in state.items()}
    torch.save({'state_dict': state, 'ema_state_dict': {**last, 'steps': 9}}, tmp_path / 'ema.pth')
    config, out = load_config(CONFIG), tmp_path / 'out'
    publish_checkpoint(
        config, tmp_path / 'ema.pth', out, name='ema', about=Provenance(), use_ema=True
    )
    published = read_checkpoint(weights(out))['state_dict']
    assert all(torch.equal(published[key], value) for key, value in state.items())
