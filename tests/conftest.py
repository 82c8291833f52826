"""Fixtures that all tests share: the working folder, data in COCO's layout, the built wheel."""

import gc
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import forget_earlier_runs, runner_of_commands

from mmvmlp.datasets.digit_scenes import make_digit_scenes

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configs and tools be named as in the documentation."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def _no_traces_of_another_test() -> None:
    """Let no test depend on what another has run."""
    forget_earlier_runs()


@pytest.fixture(autouse=True, scope='module')
def _fast_garbage_collection() -> None:
    """Leave what is imported by now out of garbage collections.

    mmengine collects garbage for every data set it reads; with three toolboxes imported, each
    collection takes 0.2 s.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a file of ``tools/`` within this process; see ``commands.py``."""
    return runner_of_commands(monkeypatch, capfd)


@pytest.fixture(scope='session')
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with the ten digits' names."""
    folder = tmp_path_factory.mktemp('data') / 'digits'
    return make_digit_scenes(folder, 'coco', train=160, val=20, progress=False)


@pytest.fixture(scope='session')
def coco_named_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few scenes with COCO's 80 names."""
    folder = tmp_path_factory.mktemp('data') / 'coco'
    return make_digit_scenes(
        folder, 'coco', train=4, val=2, size=(96, 128), categories='coco80', progress=False
    )


@pytest.fixture(scope='session')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, for building leaves folders behind."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'setup.py', 'LICENSE', 'README.md', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    for name in ('mmvmlp', 'configs', 'demo', 'tools'):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', folder, source], check=True, capture_output=True)
    (built,) = folder.glob('mmvmlp-*.whl')
    return built


@pytest.fixture(scope='session')
def installed_site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``PYTHONPATH`` in which the wheel is installed, before the checkout."""
    site = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--target', site, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return site
