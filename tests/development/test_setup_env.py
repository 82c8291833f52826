"""Decisions of the set-up; nothing is downloaded here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from development import setup_env

ROOT = Path(__file__).parents[2]


class Made(list):
    """The choices with which the environment was made; raises after half of it, if told to."""

    interrupted = False

    def __call__(self):
        python = setup_env.VENV_PYTHON
        assert list(setup_env.VENV.iterdir()) != []
        assert not python.exists()
        self.append(setup_env.os.environ['MMVMLP_OPS'])
        python.parent.mkdir()
        python.touch()
        if self.interrupted:
            raise KeyboardInterrupt


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Put the environment into a temporary folder, and note when it is made."""
    venv = tmp_path / '.venv'
    paths = {'ROOT': tmp_path, 'VENV': venv, 'VENV_PYTHON': venv / 'bin/python'}
    paths.update(STAMP=venv / 'setup.stamp', LOG=venv / 'setup.log')
    for name, path in paths.items():
        monkeypatch.setattr(setup_env, name, path)
    monkeypatch.setenv('MMVMLP_OPS', '')
    monkeypatch.setattr(setup_env, 'check_compiler', lambda: None)
    made = Made()
    monkeypatch.setattr(setup_env, 'make_environment', made)
    return made


def test_complete_environment_stays(made):
    setup_env.main()
    setup_env.main()
    assert made == ['auto']


def test_interrupted_set_up_is_made_anew(made):
    made.interrupted = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            setup_env.main()
    made.interrupted = False
    setup_env.main()
    setup_env.main()
    assert len(made) == 3


def test_changed_content_makes_it_anew(made, monkeypatch, tmp_path):
    lock = tmp_path / 'packages.txt'
    lock.write_text('a==1')
    monkeypatch.setattr(setup_env, 'LOCKS', [lock])
    setup_env.main()
    lock.write_text('a==2')
    setup_env.main()
    assert len(made) == 2


def test_moved_checkout_makes_it_anew(made, monkeypatch, tmp_path):
    setup_env.main()
    monkeypatch.setattr(setup_env, 'ROOT', tmp_path / 'elsewhere')
    setup_env.ROOT.mkdir()
    setup_env.main()
    assert len(made) == 2


def test_python_that_is_gone_makes_it_anew(made):
    setup_env.main()
    setup_env.VENV_PYTHON.unlink()
    setup_env.VENV_PYTHON.symlink_to('/no/such/python')
    setup_env.main()
    assert len(made) == 2


def test_another_python_has_another_key(monkeypatch):
    key = setup_env.content_key()
    monkeypatch.setattr(setup_env, 'get_python_version', lambda: '3.99')
    assert setup_env.content_key() != key


def test_choice_of_device_holds_until_the_next(made, monkeypatch):
    monkeypatch.setenv('MMVMLP_OPS', 'cpu')
    setup_env.main()
    monkeypatch.setenv('MMVMLP_OPS', '')
    setup_env.main()
    assert made == ['cpu']
    setup_env.STAMP.write_text('cpu outdated')
    setup_env.main()
    monkeypatch.setenv('MMVMLP_OPS', 'auto')
    setup_env.main()
    assert made == ['cpu', 'cpu', 'auto']


def test_unknown_device_is_refused(made, monkeypatch):
    monkeypatch.setenv('MMVMLP_OPS', 'gpu')
    with pytest.raises(SystemExit, match="'gpu'; accepted are auto, cpu and cuda"):
        setup_env.main()
    assert not setup_env.VENV.exists()


def test_environment_of_another_program_is_left_alone(made):
    setup_env.VENV.mkdir()
    (setup_env.VENV / 'pyvenv.cfg').touch()
    with pytest.raises(SystemExit, match='was not made by `make env`'):
        setup_env.main()
    assert made == []
    assert (setup_env.VENV / 'pyvenv.cfg').exists()


def test_failing_command_shows_the_end_of_its_output(made):
    setup_env.VENV.mkdir()
    with pytest.raises(SystemExit, match=r'this failed: .*(\n.*)*\nlast line'):
        setup_env.run(sys.executable, '-c', "print('last line'); raise SystemExit(3)", log=True)


def test_bytecode_serves_another_clone(made, monkeypatch, tmp_path):
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    monkeypatch.setattr(setup_env, 'VENV_PYTHON', sys.executable)
    setup_env.VENV.mkdir()
    first, second, store = tmp_path / 'first', tmp_path / 'second', tmp_path / 'cache/bytecode.tar'
    for site in (first, second):
        site.mkdir()
        (site / 'module.py').write_text('value = 1\n')
    setup_env.compile_bytecode(first, store)
    setup_env.run('tar', '-xf', store, '-C', second)
    assert list(second.glob('__pycache__/module.*.pyc'))
    # Python takes the bytecode of the same source, whatever its time, and no other.
    program = 'import sys, module; print(module.value)'
    command = [sys.executable, '-v', '-c', program]
    loaded = subprocess.run(command, cwd=second, capture_output=True, text=True)
    assert f'matches {second}/module.py' in loaded.stderr
    (second / 'module.py').write_text('value = 2\n')
    assert subprocess.run(command, cwd=second, capture_output=True, text=True).stdout == '2\n'


@pytest.mark.skipif(shutil.which('make') is None, reason='no make')
@pytest.mark.parametrize('version', [(3, 9, 18), (3, 13, 0), None])
def test_make_names_the_pythons_that_fit(tmp_path, version):
    python = tmp_path / 'python'
    python.write_text(
        '#!/bin/sh\nexit 127\n'
        if version is None
        else f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n'
    )
    python.chmod(0o755)
    result = subprocess.run(
        ['make', 'env', f'PYTHON={python}'], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert 'is not Python 3.10, 3.11 or 3.12: make env PYTHON=python3.12' in result.stderr
