"""The requirement files, the wheel, and the decisions of tools/setup_env.py."""

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_wheel_asks_for_no_openmmlab_package(tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'LICENSE', 'README.md', 'setup.py'):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / 'mmvmlp', source / 'mmvmlp')
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob('mmvmlp-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith('.dist-info/METADATA'))
        text = archive.read(metadata).decode()
    required = re.findall(r'^Requires-Dist: (.+)$', text, re.MULTILINE)
    assert sorted(line for line in required if 'extra ==' not in line) == ['numpy', 'torch>=2.4']
    assert not [line for line in required if re.search(r'onedl|\bmm|opencv', line.split(';')[0])]
    assert 'mmvmlp/check.py' in names
    assert 'mmvmlp/backbones/__init__.py' in names


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
    names = ('venv', 'packages', 'openmmlab', 'mmcv', 'package', 'check')
    monkeypatch.setattr(setup_env, 'STEPS', [(n, n in halves, n, step(n)) for n in names])
    return calls


def test_second_call_does_nothing(setup_env, steps, capsys):
    setup_env.set_up(any_python=False)
    assert steps == ['venv', 'packages', 'openmmlab', 'mmcv', 'package', 'check']
    setup_env.set_up(any_python=False)
    assert len(steps) == 6
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
    assert steps == ['mmcv', 'package', 'check']


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
    assert steps == ['mmcv', 'package', 'check']
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
