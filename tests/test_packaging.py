"""The requirement files, the wheel, and the decisions of tools/setup_env.py."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from mmvmlp.datasets.digit_scenes import make_digit_scenes

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / 'requirements'


def requirement_names(path: Path) -> list[str]:
    """Names of the packages that a requirement file lists."""
    lines = path.read_text().splitlines()
    return [re.split(r'[\s<>=!;\[]', line)[0] for line in lines if line and line[0] not in '#-']


@pytest.mark.parametrize('name', ['build', 'runtime', 'openmmlab', 'mmcv', 'test'])
def test_every_requirement_is_pinned(name):
    pinned = requirement_names(REQUIREMENTS / 'constraints.txt')
    assert set(requirement_names(REQUIREMENTS / f'{name}.txt')) <= set(pinned)


def test_constraints_are_exact():
    lines = (REQUIREMENTS / 'constraints.txt').read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith('#')]
    assert all(re.match(r'[a-z0-9-]+==[^\s;]+(; .+)?$', line) for line in pins)
    assert len({pin.partition('==')[0] for pin in pins}) == len(pins)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy of the sources, for building leaves folders behind."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'LICENSE', 'README.md', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    for name in ('mmvmlp', 'configs', 'tools'):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', folder, source], check=True, capture_output=True)
    (built,) = folder.glob('mmvmlp-*.whl')
    return built


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
def run_installed(wheel, tmp_path_factory):
    """Call Python in an empty folder, with the wheel installed before the checkout."""
    site = tmp_path_factory.mktemp('site')
    empty = tmp_path_factory.mktemp('empty')
    command = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--target', site, wheel]
    subprocess.run(command, check=True, capture_output=True)

    (site / 'sitecustomize.py').write_text(HIDING)

    def run(*arguments, hidden='', status=0):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=empty,
            env={**os.environ, 'PYTHONPATH': str(site), 'HIDDEN': hidden},
            capture_output=True,
            text=True,
        )
        assert result.returncode == status, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    run.site, run.folder = site, empty
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
        *(mim / 'tools/train.py', 'own.py', '--data-root', data, '--cfg-options'),
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
    hidden = 'pycocotools sklearn tqdm'
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


# tools/setup_env.py: what it decides, without a download


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """The script as a module, with its environment in a temporary folder."""
    spec = importlib.util.spec_from_file_location('setup_env', ROOT / 'tools' / 'setup_env.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / '.venv'
    monkeypatch.setattr(module, 'VENV', venv)
    monkeypatch.setattr(module, 'VENV_PYTHON', Path(sys.executable))
    monkeypatch.setattr(module, 'STATE', venv / 'setup.json')
    monkeypatch.setattr(module, 'LOG', venv / 'setup.log')
    monkeypatch.setenv('MMVMLP_OPS', '')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return module


@pytest.fixture
def steps(setup_env, monkeypatch):
    """Steps that note their names instead of installing; the second fails while told to."""
    calls = []

    def step(name):
        def call():
            calls.append(name)
            if name in calls.failing:
                raise setup_env.SetupError(f'{name} failed')

        return call

    class Calls(list):
        failing: tuple[str, ...] = ()

    calls = Calls()
    halves = {'venv', 'packages', 'openmmlab'}
    names = ('venv', 'packages', 'openmmlab', 'mmcv', 'bytecode', 'package', 'check')
    monkeypatch.setattr(setup_env, 'STEPS', [(n, n in halves, n, step(n)) for n in names])
    return calls


def test_second_call_does_nothing(setup_env, steps, capsys):
    setup_env.set_up(any_python=False)
    assert steps == ['venv', 'packages', 'openmmlab', 'mmcv', 'bytecode', 'package', 'check']
    setup_env.set_up(any_python=False)
    assert len(steps) == 7
    assert 'is ready' in capsys.readouterr().out.splitlines()[-1]


def test_half_written_environment_is_made_anew(setup_env, steps):
    steps.failing = ('packages',)
    with pytest.raises(setup_env.SetupError, match='packages failed'):
        setup_env.set_up(any_python=False)
    assert not setup_env.is_complete(setup_env.read_state(), any_python=True)
    steps.clear()
    steps.failing = ()
    (setup_env.VENV / 'half-written').touch()
    setup_env.set_up(any_python=False)
    assert steps[:2] == ['venv', 'packages']
    assert not (setup_env.VENV / 'half-written').exists()


def test_interrupted_compilation_keeps_what_was_installed(setup_env, steps):
    steps.failing = ('mmcv',)
    with pytest.raises(setup_env.SetupError, match='mmcv failed'):
        setup_env.set_up(any_python=False)
    steps.clear()
    steps.failing = ()
    setup_env.set_up(any_python=False)
    assert steps == ['mmcv', 'bytecode', 'package', 'check']


def test_failed_check_does_not_look_complete(setup_env, steps):
    steps.failing = ('check',)
    with pytest.raises(setup_env.SetupError, match='check failed'):
        setup_env.set_up(any_python=False)
    steps.clear()
    with pytest.raises(setup_env.SetupError, match='check failed'):
        setup_env.set_up(any_python=False)
    assert steps == ['package', 'check']


def test_changed_requirements_make_it_anew(setup_env, steps, monkeypatch):
    setup_env.set_up(any_python=False)
    steps.clear()
    monkeypatch.setattr(setup_env, 'stack_key', lambda python: f'other {python}')
    setup_env.set_up(any_python=False)
    assert steps[0] == 'venv'


def test_changed_package_is_installed_again(setup_env, steps, monkeypatch):
    setup_env.set_up(any_python=False)
    steps.clear()
    monkeypatch.setattr(setup_env, 'package_key', lambda: 'other')
    setup_env.set_up(any_python=False)
    assert steps == ['package', 'check']


def test_other_operators_are_compiled_and_stay(setup_env, steps, monkeypatch):
    setup_env.set_up(any_python=False)
    steps.clear()
    monkeypatch.setenv('MMVMLP_OPS', 'cpu')
    setup_env.set_up(any_python=False)
    assert steps == ['mmcv', 'bytecode', 'package', 'check']
    steps.clear()
    monkeypatch.setenv('MMVMLP_OPS', '')
    setup_env.set_up(any_python=False)
    assert steps == []


def test_unknown_operators_are_refused(setup_env, steps, monkeypatch):
    monkeypatch.setenv('MMVMLP_OPS', 'gpu')
    with pytest.raises(setup_env.SetupError, match="'gpu'; accepted are cpu, cuda"):
        setup_env.set_up(any_python=False)
    assert not setup_env.VENV.exists()


def test_environment_of_another_python(setup_env, steps, monkeypatch):
    setup_env.set_up(any_python=False)
    monkeypatch.setattr(setup_env, 'python_version', lambda: '3.99')
    steps.clear()
    setup_env.set_up(any_python=True)
    assert steps == []
    setup_env.set_up(any_python=False)
    assert steps[0] == 'venv'


def test_bytecode_is_there_even_where_python_writes_none(setup_env, monkeypatch):
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    for folder in ('package', 'package/tests'):
        module = setup_env.VENV / 'lib' / folder / 'module.py'
        module.parent.mkdir(parents=True)
        module.write_text('')
    setup_env.compile_bytecode()
    compiled = {path.parents[1].name for path in setup_env.VENV.rglob('*.pyc')}
    assert compiled == {'package'}


def test_someone_elses_environment_is_left_alone(setup_env, steps):
    setup_env.VENV.mkdir()
    (setup_env.VENV / 'pyvenv.cfg').touch()
    with pytest.raises(setup_env.SetupError, match='was not made by `make env`'):
        setup_env.set_up(any_python=False)
    assert steps == []
    assert (setup_env.VENV / 'pyvenv.cfg').exists()


@pytest.mark.parametrize('version', [(3, 9, 18), (3, 13, 0)])
def test_unsupported_python_is_refused(setup_env, monkeypatch, version):
    monkeypatch.setattr(sys, 'version_info', version)
    with pytest.raises(setup_env.SetupError, match=r'3\.10, 3\.11 or 3\.12 is needed') as caught:
        setup_env.check_python()
    assert 'make env PYTHON=' in str(caught.value)


def test_missing_compiler_is_named(setup_env, monkeypatch, tmp_path):
    monkeypatch.setenv('CXX', str(tmp_path / 'no-such-compiler'))
    with pytest.raises(setup_env.SetupError, match='apt-get install g\\+\\+'):
        setup_env.check_compiler(str(tmp_path))


@pytest.mark.skipif(shutil.which('c++') is None, reason='no C++ compiler')
def test_missing_python_headers_are_named(setup_env, monkeypatch, tmp_path):
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(setup_env.SetupError, match='apt-get install python3.*-dev'):
        setup_env.check_compiler(str(tmp_path))


@pytest.mark.parametrize('broken', ['pip_install', 'check_mmcv'])
def test_wheel_that_does_not_work_is_compiled_anew(setup_env, monkeypatch, broken):
    target = {'key': 'key', 'torch': '2.11.0', 'architectures': '', 'gpu_seen': False}
    wheel = setup_env.wheel_cache() / 'key' / 'onedl_mmcv-2.3.6.whl'
    wheel.parent.mkdir(parents=True)
    wheel.write_text('cached')
    setup_env.VENV.mkdir()

    def use(*arguments):
        if wheel.read_text() == 'cached':
            raise setup_env.SetupError('undefined symbol')

    def build(target, folder):
        assert not folder.exists()
        folder.mkdir()
        wheel.write_text('compiled')
        return wheel

    for name in ('pip_install', 'check_mmcv', 'check_compiler'):
        monkeypatch.setattr(setup_env, name, use if name == broken else lambda *arguments: None)
    monkeypatch.setattr(setup_env, 'mmcv_target', lambda: target)
    monkeypatch.setattr(setup_env, 'build_mmcv', build)
    setup_env.install_mmcv()
    assert wheel.read_text() == 'compiled'


def test_failing_command_shows_how_it_ended(setup_env):
    setup_env.VENV.mkdir()
    with pytest.raises(setup_env.SetupError, match=r'exit status 3.*\n.*\nIt ended with\nlast'):
        setup_env.run([sys.executable, '-c', "print('last'); raise SystemExit(3)"])
    assert 'last' in setup_env.LOG.read_text()


def test_progress_of_pip_and_compiler(setup_env):
    read = setup_env.pip_progress()
    assert read('  Downloading torch-2.11.0-cp311-cp311-linux.whl (530.6 MB)\n') == (
        'downloading torch (530.6 MB)'
    )
    assert read('  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)\n') is None
    assert read('Installing collected packages: a, b, c\n') == 'unpacking 3 packages'
    read = setup_env.compiler_progress()
    assert read('[78/78] c++ -MMD\n') == 'compiled 78 of 78 files'
    assert read("building 'mmcv._ext' extension\n") is None


@pytest.mark.skipif(shutil.which('make') is None, reason='no make')
def test_make_names_a_python_that_does_not_run(tmp_path):
    broken = tmp_path / 'python3.12'
    broken.write_text('#!/bin/sh\nexit 127\n')
    broken.chmod(0o755)
    result = subprocess.run(
        ['make', 'env', f'PYTHON={broken}'], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert 'does not run, or is too old' in result.stderr
    assert len(result.stderr.splitlines()) == 2
