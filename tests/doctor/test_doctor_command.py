"""`mmvmlp doctor`: it runs wherever Python does, and its fixes install what we pin."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import exit_status

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import PINNED
from mmvmlp.doctor.probes import PROBES, Probe

ROOT = Path(__file__).parents[2]


def doctor(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, whose modules come before the installed ones."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *options, '-m', 'mmvmlp', 'doctor'],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
    )


def test_where_nothing_is_installed(tmp_path):
    # Without the module `site` there are no site-packages.
    result = doctor(tmp_path, '-S')
    assert result.returncode == 1
    assert result.stderr == ''
    for name in PROBES:
        assert re.search(rf'^{name} +- +missing$', result.stdout, re.MULTILINE), name
    for name in ('torch', 'numpy', 'mmengine', 'safetensors', 'wrapt'):
        assert f'problem: {name} is not installed' in result.stdout


def test_where_packages_are_broken(tmp_path):
    for name in ('torch', 'mmengine', 'wrapt', 'safetensors'):
        (tmp_path / f'{name}.py').write_text(f"raise ImportError('undefined symbol of {name}')")
    (tmp_path / 'numpy.py').write_text("__version__ = '2.2.6'")
    result = doctor(tmp_path, '-S')
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    # What `import mmvmlp` says anywhere.
    assert 'wrapt does not load (undefined symbol of wrapt)' in result.stderr
    for name, problem in {
        'torch': 'does not load',
        'mmengine': 'does not load',
        'wrapt': 'does not work',
        'safetensors': 'does not work',
    }.items():
        (line,) = re.findall(rf'^problem: {name} .*$', result.stdout, re.MULTILINE)
        assert problem in line
        assert line.endswith(f'ImportError: undefined symbol of {name}')


HIDING_TORCH = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, *where: None if name.partition('.')[0] == 'torch' else find(name, *where)
)
"""


def test_failures_for_want_of_torch_are_one_problem(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(HIDING_TORCH)
    result = doctor(tmp_path)
    assert result.returncode == 1
    assert 'problem: torch is not installed.' in result.stdout
    assert result.stdout.endswith('Training cannot work: 1 problem.\n')
    assert result.stderr == ''


@pytest.mark.slow
def test_this_environment_can_train(tmp_path):
    result = doctor(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'Ready to train' in result.stdout
    for name in ('Python', 'mmvmlp', *PROBES):
        assert re.search(rf'^{name} +\S', result.stdout, re.MULTILINE), name


@pytest.mark.parametrize(
    ('torch', 'status', 'expected'),
    [
        (Probe('2.11.0'), 0, 'Ready to train on the CPU.'),
        (Probe('2.11.0', 'ImportError: x'), 1, 'Training cannot work: 1 problem.'),
    ],
)
def test_exit_status(monkeypatch, capsys, torch, status, expected):
    probes = {**dict.fromkeys(PROBES, Probe('1.0')), 'torchvision': Probe('0.26.0'), 'torch': torch}
    facts = Facts(python=(3, 11, 7), distributions=PINNED, probes=probes)
    monkeypatch.setattr('mmvmlp.cli.doctor.gather', lambda: facts)
    assert exit_status(monkeypatch, 'tools/doctor.py') == status
    assert capsys.readouterr().out.endswith(f'{expected}\n')


def test_fixes_name_the_pinned_versions():
    files = '\n'.join(path.read_text() for path in (ROOT / 'requirements').glob('*.txt'))
    required = re.findall(r'^([\w-]+)==([^\s;]+)', files, re.MULTILINE)
    assert {(name, version) for name, version in required if name in PINNED} == set(PINNED.items())
