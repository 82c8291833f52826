"""Requirement files and the wheel."""

import os
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from mmvmlp.datasets.digit_scenes import make_digit_scenes

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / 'requirements'


@pytest.mark.parametrize('name', ['torch', 'packages', 'mmcv', 'uv'])
def test_every_requirement_has_a_version_and_hashes(name):
    lines = (REQUIREMENTS / f'{name}.txt').read_text().replace('\\\n', ' ').splitlines()
    required = [line for line in lines if line and line[0] not in '#-']
    assert required
    assert all(re.match(r'[a-z0-9-]+==[^\s;]+ .*--hash=sha256:', line) for line in required)


@pytest.mark.parametrize('name', ['torch', 'packages'])
def test_lock_agrees_with_what_is_chosen_by_hand(name):
    def pins(path):
        return dict(re.findall(r'^([a-z0-9-]+)==([^\s;]+)', path.read_text(), re.MULTILINE))

    locked = pins(REQUIREMENTS / f'{name}.txt')
    chosen = pins(REQUIREMENTS / f'{name}.in')
    assert chosen
    assert chosen.items() <= locked.items()
    names = re.findall(r'^[a-z0-9-]+', (REQUIREMENTS / f'{name}.in').read_text(), re.MULTILINE)
    assert set(names) <= set(locked)


@pytest.mark.slow
def test_wheel_asks_for_no_openmmlab_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith('.dist-info/METADATA'))
        text = archive.read(metadata).decode()
    required = re.findall(r'^Requires-Dist: (.+)$', text, re.MULTILINE)
    always = sorted(line for line in required if 'extra ==' not in line)
    assert always == ['numpy', 'safetensors', 'torch>=2.10', 'wrapt']
    assert not [line for line in required if re.search(r'onedl|\bmm|opencv', line.split(';')[0])]
    assert 'mmvmlp/doctor/rules/__init__.py' in names
    assert 'mmvmlp/backbones/__init__.py' in names
    assert 'mmvmlp/py.typed' in names
    assert 'mmvmlp/report/page.html.jinja' in names
    assert 'mmvmlp/app/style.css' in names
    assert 'mmvmlp/.mim/demo/mask_rcnn_hire_mlp_nano_digits.safetensors' in names
    # Studies, development and tests stay in the checkout.
    assert {name.partition('/')[0] for name in names if '.dist-info/' not in name} == {'mmvmlp'}


HIDING = """
import os
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    hidden = os.environ['HIDDEN'].split()
    return None if name.partition('.')[0] in hidden else find(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
"""


@pytest.fixture(scope='module')
def run_installed(installed_site, tmp_path_factory):
    """Call Python in an empty folder, with the wheel installed before the checkout."""
    hiding = tmp_path_factory.mktemp('hiding')
    empty = tmp_path_factory.mktemp('empty')
    (hiding / 'sitecustomize.py').write_text(HIDING)
    path = f'{hiding}{os.pathsep}{installed_site}'

    def run(*arguments, hidden='', status=0):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=empty,
            env={**os.environ, 'PYTHONPATH': path, 'HIDDEN': hidden},
            capture_output=True,
            text=True,
        )
        assert result.returncode == status, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    run.site, run.folder = installed_site, empty
    return run


@pytest.mark.slow
def test_doctor_of_an_installed_wheel_needs_no_other_package(run_installed):
    for program in ('bin/mmvmlp', 'mmvmlp/.mim/tools/doctor.py'):
        arguments = ['doctor'] if program == 'bin/mmvmlp' else []
        printed = run_installed(
            *(run_installed.site / program, *arguments), hidden='torch mmengine wrapt', status=1
        )
        for name in ('torch', 'mmengine', 'wrapt'):
            assert f'problem: {name} is not installed' in printed
        assert printed.endswith('Training cannot work: 3 problems.\n')


OWN_CONFIG = """
_base_ = 'mmvmlp::mask_rcnn_hire_mlp_t.py'
model = dict(backbone=dict(frozen_stages=1))
"""


@pytest.mark.slow
def test_configs_of_an_installed_wheel_are_inherited_by_name(run_installed):
    (run_installed.folder / 'own.py').write_text(OWN_CONFIG)
    program = """
        import mmvmlp, mmengine
        from mmengine.hub import get_config
        config = mmengine.Config.fromfile('own.py')
        print(mmvmlp.__file__, config.model.backbone.arch, config.model.backbone.frozen_stages)
        print(get_config('mmvmlp::upernet_hire_mlp_s.py').model.type)
        print(get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py').model.type)
    """
    lines = run_installed('-c', textwrap.dedent(program)).splitlines()
    assert lines[-3:] == [
        f'{run_installed.site}/mmvmlp/__init__.py tiny 1',
        'EncoderDecoder',
        'RetinaNet',
    ]


@pytest.mark.slow
def test_tools_of_an_installed_wheel_run_outside_the_checkout(run_installed):
    mim = run_installed.site / 'mmvmlp' / '.mim'
    counted = run_installed(mim / 'tools/complexity.py', mim / 'configs/retinanet_hire_mlp_t.py')
    assert counted.splitlines()[-1].split() == ['total', '27.780', 'M', '194.876', 'G']
    data = run_installed.folder / 'data'
    make_digit_scenes(data, 'coco', 4, 2, (96, 128), categories='coco80', progress=False)
    (run_installed.folder / 'own.py').write_text(OWN_CONFIG)
    printed = run_installed(
        *(
            run_installed.site / 'bin/mmvmlp',
            'train',
            'own.py',
            '--data-root',
            data,
            '--cfg-options',
        ),
        *('train_cfg.max_epochs=1', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=1'),
        *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
        *('train_dataloader.dataset.indices=1', 'default_hooks.logger.interval=1'),
        'train_dataloader.dataset.pipeline.2.scale=(333,200)',
    )
    assert 'Epoch(train) [1][1/1]' in printed
    assert (run_installed.folder / 'work_dirs/own/epoch_1.pth').is_file()


SEGMENTOR = """
_base_ = 'mmvmlp::sem_fpn_hire_mlp_t.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = (256, 64)
train_pipeline[3].crop_size = (64, 64)
model = dict(data_preprocessor=dict(size=(64, 64)))
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1, val_interval=1)
"""


@pytest.mark.slow
def test_the_extras_are_needed_for_the_demo_only(run_installed):
    # mmdet imports pycocotools and tqdm itself, and mmpretrain scikit-learn.
    hidden = 'hotcoco pycocotools sklearn tqdm'
    program = """
        import importlib, mmengine, pathlib, mmvmlp
        configs = pathlib.Path(mmvmlp.__file__).with_name('.mim') / 'configs'
        modules = {module for path in configs.glob('*.py')
                   for module in mmengine.Config.fromfile(path).custom_imports['imports']}
        print(*(importlib.import_module(module).__name__ for module in sorted(modules)))
    """
    printed = run_installed('-c', textwrap.dedent(program), hidden=hidden)
    assert 'mmvmlp.datasets.loading' in printed.splitlines()[-1]
    make_digit_scenes(run_installed.folder / 'ade', 'ade', 2, 2, (96, 128), progress=False)
    (run_installed.folder / 'segmentor.py').write_text(SEGMENTOR)
    tools = run_installed.site / 'mmvmlp/.mim/tools'
    options = ('segmentor.py', '--data-root', 'ade')
    checked = run_installed(tools / 'check_config.py', *options, hidden=hidden)
    assert 'one training step done' in checked
    run_installed(tools / 'train.py', *options, hidden=hidden)
    checkpoint = 'work_dirs/segmentor/iter_1.pth'
    tested = run_installed(
        *(tools / 'test.py', 'segmentor.py', checkpoint, '--data-root', 'ade'),
        *('--out', 'metrics.json'),
        hidden=hidden,
    )
    assert 'mIoU' in tested
    run_installed(
        *(tools / 'predict.py', 'ade/images/validation', '--config', 'segmentor.py'),
        *('--checkpoint', checkpoint, '--out-dir', 'predicted', '--device', 'cpu'),
        hidden=hidden,
    )
    assert (run_installed.folder / 'predicted/predictions.json').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('first', ['mmvmlp', 'mmpretrain'])
def test_mmpretrain_lists_and_builds_our_classifiers(run_installed, first):
    second = 'mmpretrain' if first == 'mmvmlp' else 'mmvmlp'
    program = f"""
        import {first}
        import {second}
        import mmpretrain, torch
        print(*mmpretrain.list_models('*hire*'))
        print(len(mmpretrain.list_models('*_in1k')) > 100, mmpretrain.list_models('mask-rcnn*'))
        model = mmpretrain.get_model('s2_mlp_deep', backbone=dict(arch='deep'))
        print(sum(parameter.numel() for parameter in model.parameters()))
    """
    # Between them are log lines.
    printed = run_installed('-c', textwrap.dedent(program)).splitlines()
    assert 'hire_mlp_base hire_mlp_large hire_mlp_small hire_mlp_tiny' in printed
    assert 'True []' in printed
    assert printed[-1] == '53917288'
