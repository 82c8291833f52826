"""Published weights: the table, and files from a local server, a mirror, a folder and the hub."""

import hashlib
import http.server
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from safetensors.torch import save_file
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock

import mmvmlp
from mmvmlp.backbones.base import registered_families
from mmvmlp.backbones.published_weights import HUB, hub_file
from mmvmlp.build import resolve_name
from mmvmlp.checkpoints import checkpoint_file, published_weights
from mmvmlp.checkpoints.published import FOLDER_VARIABLE, MIRROR_VARIABLE
from mmvmlp.config.required_files import check_checkpoints
from mmvmlp.config.settings import set_backbone_checkpoint

NAME = 'resmlp_s12.distilled_in1k'
SMALL = {'depth': 4, 'channels': 8, 'image_size': 32}


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a dictionary, and lists what was asked for."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.asked, self.cut = {}, [], 0
        self.url = f'http://127.0.0.1:{self.server_port}'


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        contents = self.server.files.get(self.path)
        if contents is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(contents)))
        # What the hub says of a file.
        self.send_header('ETag', f'"{hashlib.sha256(contents).hexdigest()}"')
        self.send_header('X-Repo-Commit', '0' * 40)
        self.end_headers()
        if self.command == 'GET':
            self.server.asked.append(self.path)
            self.wfile.write(contents[: len(contents) - self.server.cut])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of published weights; does not exist yet."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / 'weights'))
    return tmp_path / 'weights'


@pytest.fixture
def rows(monkeypatch):
    """Function that makes ResMLP-S12 small, and changes rows of its table."""
    small = type(mmvmlp.ResMLP.variants['s12'])(**SMALL)
    monkeypatch.setattr(mmvmlp.ResMLP, 'variants', {**mmvmlp.ResMLP.variants, 's12': small})

    def change(**addresses):
        table = tuple(
            replace(row, address=addresses.get(row.name.partition('.')[2], row.address))
            if row.network == 'resmlp_s12'
            else row
            for row in mmvmlp.ResMLP.published_weights
        )
        monkeypatch.setattr(mmvmlp.ResMLP, 'published_weights', table)

    return change


@pytest.fixture
def state_dict():
    """State dict as timm has it, of the small network."""
    torch.manual_seed(0)
    network = MlpMixer(
        img_size=32,
        patch_size=16,
        num_blocks=SMALL['depth'],
        embed_dim=SMALL['channels'],
        mlp_ratio=4,
        block_layer=ResBlock,
        norm_layer=Affine,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network.state_dict()


@pytest.fixture
def served(server, folder, rows, state_dict, tmp_path):
    """Bytes of the weights called NAME, which the server has at their address."""
    torch.save(state_dict, tmp_path / 'saved.pth')
    server.files['/deit/resmlp_12_dist.pth'] = (tmp_path / 'saved.pth').read_bytes()
    rows(distilled_in1k=f'{server.url}/deit/resmlp_12_dist.pth')
    return server.files['/deit/resmlp_12_dist.pth']


def build():
    return mmvmlp.build_backbone('resmlp_s12', weights=NAME)


def refused(message, error=mmvmlp.CheckpointError):
    """Expect one sentence that names the weights."""
    with pytest.raises(error, match=message) as caught:
        build()
    assert NAME in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('family', registered_families(), ids=lambda family: family.__name__)
def test_table_names_networks_and_formats(family):
    formats = {official.name for official in family.official_formats}
    networks = {f'{family.name_prefix}_{variant}' for variant in family.variants}
    for row in family.published_weights:
        assert row.is_released == (row.format in formats) == bool(row.licence)
        assert (row.address is None) == bool(row.reason)
        assert row.address is None or row.address.startswith('https://')
        assert row.page.startswith('https://')
        assert row.distilled == ('distilled' in row.name)
    assert {row.network for row in family.published_weights} == networks


def test_names_and_files_are_unique():
    rows = published_weights().values()
    assert len(rows) == sum(len(family.published_weights) for family in registered_families())
    assert len({row.file_name for row in rows}) == len(rows)


def test_metafiles_have_addresses_and_accuracies_of_the_table():
    from modelindex.load_model_index import load

    rows = [
        row
        for row in published_weights().values()
        if row.address and row.classes == 1000 and row.top1
    ]
    index = load('model-index.yml')
    index.build_models_with_collections()
    for model in index.models:
        if not model.config.startswith('configs/classify_') or 'digits' in model.config:
            continue
        network = resolve_name(model.name.removesuffix('_distilled'))
        distilled = model.name.endswith('_distilled')
        candidates = [row for row in rows if row.network == network and row.distilled == distilled]
        assert bool(model.weights) == any(candidates)
        if candidates:
            row = mmvmlp.find_weights(model.weights)
            assert row in candidates
            # timm's measurements differ a little from the papers'.
            assert row.top1 == pytest.approx(model.results[0].metrics['Top 1 Accuracy'], abs=0.5)


def test_metafiles_have_addresses_and_results_of_trained_models():
    from modelindex.load_model_index import load

    rows = {row.model: row for row in published_weights().values() if row.method}
    index = load('model-index.yml')
    index.build_models_with_collections()
    found = set()
    for model in index.models:
        row = rows.get(Path(model.config).stem)
        if row is not None:
            assert model.weights == row.address
            assert model.results[0].metrics == dict(row.metrics)
            found.add(row.model)
    assert found == rows.keys()


def test_every_file_that_timm_has_is_listed():
    by_address = {row.address: row for row in published_weights().values()}
    for name in timm.list_models(['resmlp*', 'mixer*'], pretrained=True):
        config = timm.get_pretrained_cfg(name)
        address = hub_file(config.hf_hub_id)
        # ResMLP's distilled and pretrained weights are at their authors' address.
        row = by_address.get(address) or by_address[config.url]
        if row.address == address:
            assert row.classes == config.num_classes


def test_listed_by_pattern():
    assert mmvmlp.list_weights('hire*') == [f'hire_mlp_{size}.in1k' for size in BASE_TO_TINY]
    assert 'hire_mlp_large.in1k' not in mmvmlp.list_weights()


BASE_TO_TINY = ('tiny', 'small', 'base')


def test_downloaded_once_and_recorded(server, served, folder):
    first, second = build(), build()
    assert server.asked == ['/deit/resmlp_12_dist.pth']
    assert (folder / 'resmlp_12_dist.pth').read_bytes() == served
    record = folder / 'resmlp_12_dist.pth.sha256'
    assert record.read_text() == f'{hashlib.sha256(served).hexdigest()}  resmlp_12_dist.pth\n'
    assert len(list(folder.iterdir())) == 2
    for ours, theirs in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_are_those_of_the_file(served, state_dict):
    weight = build().stages[0].blocks[0].token_mixing.fc1.weight
    assert torch.equal(weight.flatten(), state_dict['blocks.0.linear_tokens.weight'].flatten())


def test_another_file_at_the_address_is_refused(server, served, folder):
    build()
    (folder / 'resmlp_12_dist.pth').unlink()
    torch.save({'model': {'weight': torch.ones(3)}}, folder.parent / 'other.pth')
    server.files['/deit/resmlp_12_dist.pth'] = (folder.parent / 'other.pth').read_bytes()
    refused('SHA-256 .* but that of the first download was')
    assert [file.name for file in folder.iterdir()] == ['resmlp_12_dist.pth.sha256']


def test_a_changed_file_in_the_folder_is_refused(served, folder):
    build()
    (folder / 'resmlp_12_dist.pth').write_bytes(served[:-1])
    refused('SHA-256 .* but that of the first download was')


@pytest.mark.parametrize('how', ['connection', 'file', 'page'])
def test_truncated_files_are_refused(server, served, folder, how):
    if how == 'connection':
        server.cut = 1000
    elif how == 'file':
        server.files['/deit/resmlp_12_dist.pth'] = served[: len(served) // 2]
    else:
        server.files['/deit/resmlp_12_dist.pth'] = b'<html>Please log in</html>'
    refused(f'{server.url}.* cannot be read; it is truncated')
    assert list(folder.iterdir()) == []


def test_weights_of_another_network_are_refused(served):
    with pytest.raises(mmvmlp.CheckpointError, match='does not fit this ResMLP'):
        mmvmlp.build_backbone('resmlp_s12_p8', weights=NAME)
    with pytest.raises(mmvmlp.CheckpointError, match="another network: timm's ResMLP"):
        mmvmlp.build_backbone('s2_mlp_deep', weights=NAME)


def test_missing_addresses_are_reported(server, served, folder):
    server.files.clear()
    refused(f'cannot be downloaded from {server.url}.*404')
    assert list(folder.iterdir()) == []


def test_no_network_is_reported(rows, folder):
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))
        rows(distilled_in1k=f'http://127.0.0.1:{closed.getsockname()[1]}/resmlp_12_dist.pth')
        refused('cannot be downloaded from http.*refused')
    assert list(folder.iterdir()) == []


def test_unknown_names_get_a_suggestion():
    with pytest.raises(FileNotFoundError, match=r"did you mean 'hire_mlp_tiny\.in1k'"):
        checkpoint_file('hire_mlp_tny.in1k')
    with pytest.raises(ValueError, match=r"did you mean 'hire_mlp_tiny\.in1k'"):
        mmvmlp.find_weights('hire_mlp_tny.in1k')
    assert mmvmlp.find_weights('Hire-MLP-T.in1k').name == 'hire_mlp_tiny.in1k'


def test_reasons_for_missing_weights_are_given():
    with pytest.raises(FileNotFoundError, match=r'Hire-MLP-L were never released \(https://'):
        checkpoint_file('hire_mlp_l.in1k')


def test_files_behind_a_page_are_taken_from_the_folder(folder, monkeypatch):
    small = type(mmvmlp.ASMLP.variants['t'])(**mmvmlp.ASMLP.small_arch)
    monkeypatch.setattr(mmvmlp.ASMLP, 'variants', {**mmvmlp.ASMLP.variants, 't': small})
    with pytest.raises(FileNotFoundError, match=r'OneDrive.*https://.*as_mlp_t\.in1k\.pth'):
        mmvmlp.build_backbone('as_mlp_t', weights='as_mlp_t.in1k')
    trained = mmvmlp.ASMLP('t')
    folder.mkdir()
    torch.save(trained.state_dict(), folder / 'as_mlp_t.in1k.pth')
    loaded = mmvmlp.build_backbone('as_mlp_t', weights='as_mlp_t.in1k')
    assert torch.equal(loaded.stem.conv.weight, trained.stem.conv.weight)


def test_mirror_replaces_addresses(server, served, folder, rows, monkeypatch):
    rows(distilled_in1k='http://127.0.0.1:1/gone/resmlp_12_dist.pth')
    server.files['/mirror/resmlp_12_dist.pth'] = served
    monkeypatch.setenv(MIRROR_VARIABLE, f'{server.url}/mirror/')
    build()
    assert server.asked == ['/mirror/resmlp_12_dist.pth']


def test_configs_take_names(served, folder):
    config = Config({'model': {'backbone': {'type': 'mmvmlp.ResMLP', 'arch': 's12'}}})
    set_backbone_checkpoint(config, NAME)
    check_checkpoints(config)
    assert (folder / 'resmlp_12_dist.pth').is_file()
    assert config.model.backbone.init_cfg.checkpoint == NAME
    backbone = mmvmlp.ResMLP('s12', init_cfg={'type': 'Pretrained', 'checkpoint': NAME})
    backbone.init_weights()
    assert torch.equal(backbone.stem.conv.weight, build().stem.conv.weight)


def test_mmpretrain_loads_them(server, served, monkeypatch):
    from mmpretrain import get_model
    from mmpretrain.apis.model import ModelHub

    address = f'{server.url}/deit/resmlp_12_dist.pth'
    monkeypatch.setattr(ModelHub._models_dict['resmlp_s12'], 'weights', f'mmvmlp://{address}')
    model = get_model('resmlp_s12', pretrained=True, head={'in_channels': SMALL['channels']})
    ours = mmvmlp.build_classifier('resmlp_s12', weights=NAME)
    for key, tensor in ours.state_dict().items():
        assert torch.equal(model.state_dict()[key], tensor), key


def test_mmpretrain_lists_their_addresses():
    from mmpretrain.apis.model import ModelHub

    for name in ('hire_mlp_small', 'resmlp_s12', 'mlp_mixer_b16'):
        address = ModelHub._models_dict[name].weights.removeprefix('mmvmlp://')
        assert mmvmlp.find_weights(address).network == name


@pytest.fixture
def hub(server, rows, folder, state_dict, tmp_path, monkeypatch):
    """Hugging Face Hub with the plain ResMLP-S12."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(
        constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template.replace(constants.ENDPOINT, server.url)
    )
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    path = mmvmlp.find_weights('resmlp_s12.in1k').address.removeprefix(HUB)
    save_file(state_dict, tmp_path / 'saved.safetensors')
    server.files[f'/{path}'] = (tmp_path / 'saved.safetensors').read_bytes()
    return server


def test_files_of_the_hub_are_loaded_and_recorded(hub, folder, state_dict):
    backbone = mmvmlp.build_backbone('resmlp_s12', weights='resmlp_s12.in1k')
    assert torch.equal(backbone.stem.conv.weight, state_dict['stem.proj.weight'])
    assert [file.name for file in folder.iterdir()] == ['resmlp_12_224.fb_in1k.safetensors.sha256']
    mmvmlp.build_backbone('resmlp_s12', weights='resmlp_s12.in1k')
    assert len(hub.asked) == 1


def test_missing_hub_package_is_named(rows, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ImportError, match=r'pip install mmvmlp\[hub\]'):
        mmvmlp.build_backbone('resmlp_s12', weights='resmlp_s12.in1k')
