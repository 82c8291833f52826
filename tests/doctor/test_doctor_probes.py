"""Probes and the child process that runs them, on modules broken as they break for users."""

from pathlib import Path

import pytest

from mmvmlp.doctor import facts
from mmvmlp.doctor.facts import gather, probe_all
from mmvmlp.doctor.probes import Probe


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules (name: source) that are imported in the place of installed ones."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (tmp_path / f'{name}.py').write_text(source)

    return write


def test_missing_library_of_a_package(modules):
    modules(cv2="raise ImportError('libGL.so.1: cannot open shared object file')")
    assert probe_all(['cv2'])['cv2'].error == (
        'ImportError: libGL.so.1: cannot open shared object file'
    )


def test_error_is_told_with_its_cause(modules):
    modules(
        wrapt="try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ImportError('x') from e"
    )
    assert probe_all(['wrapt'])['wrapt'].error == (
        'ImportError: x <- ZeroDivisionError: division by zero'
    )


def test_torchvision_without_its_operators(modules):
    modules(torch='', torchvision="raise RuntimeError('operator torchvision::nms does not exist')")
    error = probe_all(['torchvision'])['torchvision'].error
    assert error == 'RuntimeError: operator torchvision::nms does not exist'


def test_package_that_crashes_takes_no_other_with_it(modules):
    modules(cv2="import os, signal\nprint('noise')\nos.kill(os.getpid(), signal.SIGSEGV)")
    probes = probe_all(['numpy', 'cv2', 'wrapt'])
    assert list(probes) == ['numpy', 'cv2', 'wrapt']
    assert probes['numpy'].version
    assert probes['cv2'].error == 'killed by signal 11: noise'
    assert probes['wrapt'].version


def test_package_that_ends_the_process(modules):
    modules(wrapt="raise SystemExit('no licence')")
    assert probe_all(['wrapt'])['wrapt'].error == 'exit status 1: no licence'


def test_package_that_hangs(modules):
    modules(wrapt='import time\ntime.sleep(60)')
    assert probe_all(['wrapt'], timeout=1)['wrapt'].error == 'did not finish within 1 s'


def test_package_that_works_wrongly(modules):
    modules(wrapt='def register_post_import_hook(hook, name): pass')
    assert probe_all(['wrapt'])['wrapt'].error == (
        'RuntimeError: wrapt.register_post_import_hook does not call the hook'
    )


def test_no_file_of_the_doctor_hides_another_module(modules):
    modules(
        datasets="name = 'own datasets'",
        facts="name = 'own facts'",
        numpy="import datasets, facts\n__version__ = f'{datasets.name}, {facts.name}'",
    )
    assert probe_all(['numpy'])['numpy'] == Probe(version='own datasets, own facts')


def test_broken_package_has_the_version_of_its_distribution(monkeypatch):
    tried = {
        'mmcv': Probe(error='ImportError: x'),
        'cv2': Probe(error='ImportError: x'),
        'mmdet': Probe(error='ImportError: x'),
        'mmseg': Probe(missing=True),
        'numpy': Probe(version='2.2.6'),
    }
    installed = {'mmcv': '2.1.0', 'opencv-python': '4.12.0.88', 'numpy': '1.0'}
    monkeypatch.setattr(facts, 'probe_all', lambda: tried)
    monkeypatch.setattr(facts, 'installed_distributions', lambda: installed)
    assert {name: probe.version for name, probe in gather().probes.items()} == {
        'mmcv': '2.1.0',
        'cv2': '4.12.0.88',
        'mmdet': None,
        'mmseg': None,
        'numpy': '2.2.6',
    }


@pytest.mark.parametrize(('visible', 'expected'), [(None, True), ('0', True), ('', False)])
def test_hidden_gpus_are_not_expected(monkeypatch, visible, expected):
    monkeypatch.setattr(facts, 'NVIDIA_DRIVER', Path(__file__))
    monkeypatch.setattr(facts, 'probe_all', dict)
    if visible is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert gather().nvidia_driver == expected
