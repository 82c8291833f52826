"""Every bad combination that `mmvmlp.check` knows, simulated; and some of them for real."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmvmlp import check
from mmvmlp.check import Facts, Finding, Probe, diagnose

ROOT = Path(__file__).parents[1]

GOOD = Facts(
    python=(3, 11, 7),
    distributions={
        'torch': '2.11.0',
        'torchvision': '0.26.0',
        'numpy': '2.2.6',
        'setuptools': '80.9.0',
        'opencv-python-headless': '4.12.0.88',
        'pycocotools': '2.0.11',
        'safetensors': '0.8.0',
        'wrapt': '2.5.2',
        'onedl-mmengine': '0.10.12',
        'onedl-mmcv': '2.3.6',
        'onedl-mmdetection': '3.5.1',
        'onedl-mmsegmentation': '1.4.2',
        'onedl-mmpretrain': '1.3.6',
        'mmvmlp': '0.1.0',
    },
    probes={
        'numpy': Probe('2.2.6'),
        'torch': Probe('2.11.0+cu130', details={'cuda': '13.0', 'gpus': [], 'gpu_error': None}),
        'torchvision': Probe('0.26.0+cu130'),
        'cv2': Probe('4.12.0'),
        'pycocotools': Probe('2.0.11'),
        'mmengine': Probe('0.10.12'),
        'mmcv': Probe('2.3.6', details={'gpu_error': None}),
        'mmdet': Probe('3.5.1'),
        'mmseg': Probe('1.4.2'),
        'mmpretrain': Probe('1.3.6'),
    },
)
WITH_GPU = {'cuda': '13.0', 'gpus': ['NVIDIA H200'], 'gpu_error': None}


def facts_with(
    distributions: dict[str, str | None] | None = None, python=(3, 11, 7), driver=False, **probes
) -> Facts:
    """The good facts, changed: a distribution given as None is not installed."""
    merged = {**GOOD.distributions, **(distributions or {})}
    return Facts(
        python=python,
        distributions={name: version for name, version in merged.items() if version is not None},
        probes={**GOOD.probes, **probes},
        nvidia_driver=driver,
    )


def test_good_environment_has_no_findings():
    assert diagnose(GOOD) == []
    assert check.report(GOOD, []).endswith('Ready to train on the CPU.')


def test_good_environment_with_gpu():
    facts = facts_with(torch=Probe('2.11.0+cu130', details=WITH_GPU), driver=True)
    assert diagnose(facts) == []
    text = check.report(facts, [])
    assert 'NVIDIA H200' in text
    assert text.endswith('Ready to train on the GPU.')


NO_TORCH = Probe(missing=True, error="ModuleNotFoundError: No module named 'torch'")
NEEDS_TORCH = Probe('1.0', "ModuleNotFoundError: No module named 'torch'")
LIBGL = 'ImportError: libGL.so.1: cannot open shared object file: No such file or directory'
UNDEFINED = 'ImportError: mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c106'
NUMPY_1 = 'ValueError: numpy.dtype size changed, may indicate binary incompatibility.'
REFUSES = (
    'AssertionError: MMCV==2.3.6 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.'
)

# What is changed, whether it blocks, words of the problem, words of the command.
BAD = {
    'python too new': (dict(python=(3, 13, 0)), True, '3.13.0', 'make env PYTHON='),
    'python too old': (dict(python=(3, 9, 18)), True, '3.9.18', 'make env PYTHON='),
    'torch missing': (
        dict(
            torch=NO_TORCH,
            torchvision=NEEDS_TORCH,
            mmengine=NEEDS_TORCH,
            mmcv=NEEDS_TORCH,
            mmdet=NEEDS_TORCH,
            mmseg=NEEDS_TORCH,
            mmpretrain=NEEDS_TORCH,
        ),
        True,
        'torch is not installed',
        'pip install torch===2.11.0 torchvision===0.26.0',
    ),
    'torch broken': (
        dict(torch=Probe('2.11.0', 'ImportError: libcudart.so.13: cannot open')),
        True,
        'libcudart',
        'pip uninstall -y torch torchvision && pip install torch===2.11.0',
    ),
    'torch too old': (
        dict(torch=Probe('2.1.2+cu121'), torchvision=Probe('0.16.2+cu121')),
        True,
        '2.1.2+cu121 is too old',
        'torch===2.11.0',
    ),
    'torch with known ways to run code from a checkpoint': (
        dict(torch=Probe('2.9.1+cu130'), torchvision=Probe('0.24.1+cu130')),
        True,
        'CVE-2026-24747). 2.10 is the oldest supported',
        'pip install torch===2.11.0 torchvision===0.26.0',
    ),
    'torch and torchvision of different builds': (
        dict(
            torch=Probe('2.11.0+cpu'),
            torchvision=Probe('0.26.0', 'RuntimeError: operator torchvision::nms does not exist'),
        ),
        True,
        'one index',
        'pip install torch===2.11.0 torchvision===0.26.0',
    ),
    'different builds that load': (
        dict(torch=Probe('2.10.0+cpu'), torchvision=Probe('0.25.0+cu126')),
        False,
        'different builds',
        'torch===2.10.0 torchvision===0.25.0',
    ),
    'torchvision of another release': (
        dict(torchvision=Probe('0.21.0+cu130', "RuntimeError: Couldn't load custom C++ ops")),
        True,
        'torch 2.11 goes with torchvision 0.26',
        'torchvision===0.26.0',
    ),
    'torchvision broken': (
        dict(torchvision=Probe('0.26.0', 'OSError: libjpeg')),
        True,
        'libjpeg',
        'torchvision===0.26.0',
    ),
    'torchvision missing': (
        dict(torchvision=Probe(missing=True)),
        True,
        'torchvision is not installed',
        'torchvision===0.26.0',
    ),
    'numpy missing': (dict(numpy=Probe(missing=True)), True, 'numpy is not', 'numpy==2.2.6'),
    'numpy broken': (
        dict(numpy=Probe('2.2.6', 'ImportError: libscipy_openblas')),
        True,
        'openblas',
        '--force-reinstall numpy==2.2.6',
    ),
    'pycocotools compiled for numpy 1': (
        dict(pycocotools=Probe('2.0.7', NUMPY_1)),
        True,
        'pycocotools was compiled for another major version of numpy than the installed 2.2.6',
        '--force-reinstall --no-deps --no-cache-dir pycocotools==',
    ),
    'opencv compiled for numpy 1': (
        dict(
            distributions={'opencv-python-headless': None, 'opencv-python': '4.8.1.78'},
            cv2=Probe('4.8.1', 'ImportError: numpy.core.multiarray failed to import'),
            mmcv=Probe('2.3.6', 'ImportError: numpy.core.multiarray failed to import'),
        ),
        True,
        'cv2 was compiled for another major version of numpy',
        'pip uninstall -y opencv-python && pip install --force-reinstall',
    ),
    'toolbox dependency compiled for numpy 1': (
        dict(mmdet=Probe('3.3.0', NUMPY_1)),
        True,
        'mmdet loads something that was compiled for another',
        'numpy<2',
    ),
    'both builds of opencv': (
        dict(distributions={'opencv-python': '4.12.0.88'}),
        False,
        'opencv-python and opencv-python-headless unpack into the same folder',
        'pip uninstall -y opencv-python opencv-python-headless && pip install --no-deps opencv-py',
    ),
    'both builds of opencv, broken': (
        dict(distributions={'opencv-python': '4.8.0.74'}, cv2=Probe('4.8.0', 'AttributeError: x')),
        True,
        'same folder',
        'pip uninstall -y opencv-python opencv-python-headless',
    ),
    'libGL missing': (
        dict(
            distributions={'opencv-python-headless': None, 'opencv-python': '4.12.0.88'},
            cv2=Probe('4.12.0.88', LIBGL),
            mmcv=Probe('2.3.6', LIBGL),
            mmdet=Probe('3.5.1', LIBGL),
            mmseg=Probe('1.4.2', LIBGL),
            mmpretrain=Probe('1.3.6', LIBGL),
        ),
        True,
        'libGL.so.1',
        'pip uninstall -y opencv-python && pip install --no-deps opencv-python-headless==',
    ),
    'opencv missing': (
        dict(distributions={'opencv-python-headless': None}, cv2=Probe(missing=True)),
        True,
        'OpenCV (cv2) is not installed',
        'pip install --no-deps opencv-python-headless==',
    ),
    'opencv broken': (dict(cv2=Probe('4.12.0', 'OSError: x')), True, 'OSError: x', 'headless'),
    'pycocotools missing': (
        dict(pycocotools=Probe(missing=True)),
        True,
        'pycocotools is not installed; mmdet does not load without it',
        'pip install pycocotools==',
    ),
    'pycocotools missing, without mmdet': (
        dict(pycocotools=Probe(missing=True), mmdet=Probe(missing=True)),
        False,
        'pycocotools is not installed',
        'pip install pycocotools==',
    ),
    'pycocotools broken, without mmdet': (
        dict(pycocotools=Probe('2.0.11', 'ImportError: _mask'), mmdet=Probe(missing=True)),
        False,
        '_mask',
        '--force-reinstall',
    ),
    'pycocotools compiled for numpy 1, without mmdet': (
        dict(pycocotools=Probe('2.0.7', NUMPY_1), mmdet=Probe(missing=True)),
        False,
        'pycocotools was compiled for another major version',
        '--no-cache-dir pycocotools==',
    ),
    'safetensors missing': (
        dict(distributions={'safetensors': None}),
        True,
        'safetensors is not installed',
        'pip install safetensors==',
    ),
    'wrapt missing': (
        dict(distributions={'wrapt': None}),
        False,
        'wrapt is not installed',
        'pip install wrapt==',
    ),
    'pycocotools broken': (
        dict(pycocotools=Probe('2.0.11', 'ImportError: _mask')),
        True,
        '_mask',
        '--force-reinstall',
    ),
    'original and continued mmcv': (
        dict(distributions={'mmcv': '2.1.0'}),
        False,
        'onedl-mmcv and mmcv unpack into the same folder',
        'pip uninstall -y onedl-mmcv mmcv && pip install ninja',
    ),
    'original and continued mmdet, broken': (
        dict(distributions={'mmdet': '3.3.0'}, mmdet=Probe('3.3.0', 'ImportError: mixed')),
        True,
        'onedl-mmdetection and mmdet unpack',
        'pip uninstall -y onedl-mmdetection mmdet && pip install --no-deps',
    ),
    'mmengine missing': (
        dict(distributions={'onedl-mmengine': None}, mmengine=Probe(missing=True)),
        True,
        'mmengine is not installed',
        'pip install --no-deps onedl-mmengine==',
    ),
    'mmengine broken': (
        dict(mmengine=Probe('0.10.12', 'SyntaxError: x')),
        True,
        'SyntaxError: x',
        'pip uninstall -y onedl-mmengine && pip install',
    ),
    'original mmengine, which cannot read its checkpoints': (
        dict(
            distributions={'onedl-mmengine': None, 'mmengine': '0.10.7'}, mmengine=Probe('0.10.7')
        ),
        False,
        'cannot read its own checkpoints',
        'pip uninstall -y mmengine && pip install --no-deps onedl-mmengine==',
    ),
    'original mmengine without pkg_resources': (
        dict(
            distributions={
                'onedl-mmengine': None,
                'mmengine': '0.10.7',
                'setuptools': '82.0.0',
            },
            mmengine=Probe('0.10.7'),
        ),
        True,
        'pkg_resources',
        'setuptools<82',
    ),
    'mmcv missing': (
        dict(distributions={'onedl-mmcv': None}, mmcv=Probe(missing=True)),
        True,
        'mmcv is not installed',
        '--no-build-isolation --no-cache-dir --no-deps --no-binary onedl-mmcv onedl-mmcv==',
    ),
    'mmcv-lite': (
        dict(
            distributions={'onedl-mmcv': None, 'mmcv-lite': '2.1.0'},
            mmcv=Probe('2.1.0', "ModuleNotFoundError: No module named 'mmcv._ext'"),
        ),
        True,
        'mmcv-lite has no operators',
        'pip uninstall -y mmcv-lite && ',
    ),
    'mmcv without operators': (
        dict(mmcv=Probe('2.3.6', "ModuleNotFoundError: No module named 'mmcv._ext'")),
        True,
        'without its operators',
        '--force-reinstall --no-binary onedl-mmcv onedl-mmcv==',
    ),
    'mmcv compiled for another torch': (
        dict(mmcv=Probe('2.3.6', UNDEFINED), mmdet=Probe('3.5.1', UNDEFINED)),
        True,
        'compiled for another torch than 2.11.0+cu130',
        '--no-cache-dir --no-deps --force-reinstall --no-binary onedl-mmcv onedl-mmcv==',
    ),
    'original mmcv compiled for another torch': (
        dict(distributions={'onedl-mmcv': None, 'mmcv': '2.1.0'}, mmcv=Probe('2.1.0', UNDEFINED)),
        True,
        'mmcv 2.1.0 was compiled for another torch',
        '--no-binary mmcv mmcv==2.1.0',
    ),
    'mmcv that crashes': (
        dict(mmcv=Probe('2.3.6', 'killed by signal 11')),
        True,
        'killed by signal 11',
        '--no-binary onedl-mmcv onedl-mmcv==',
    ),
    'mmcv newer than mmdet accepts': (
        dict(
            distributions={'onedl-mmdetection': None, 'mmdet': '3.3.0'},
            mmdet=Probe('3.3.0', REFUSES),
        ),
        True,
        'mmdet 3.3.0 accepts mmcv>=2.0.0rc4, <2.2.0, and 2.3.6 is installed',
        'pip uninstall -y mmdet && pip install --no-deps --no-build-isolation onedl-mmdetection==',
    ),
    'mmcv newer than mmseg accepts': (
        dict(
            distributions={'onedl-mmsegmentation': None, 'mmsegmentation': '1.2.2'},
            mmseg=Probe(
                '1.2.2',
                'AssertionError: MMCV==2.3.6 is used but incompatible. '
                'Please install mmcv>=2.0.0rc4.',
            ),
        ),
        True,
        'mmseg 1.2.2 accepts mmcv>=2.0.0rc4, and 2.3.6 is installed',
        'pip uninstall -y mmsegmentation && ',
    ),
    'mmcv of the generation before': (
        dict(
            distributions={'onedl-mmcv': None, 'mmcv-full': '1.7.2'},
            mmcv=Probe('1.7.2'),
            mmdet=Probe('3.5.1', REFUSES.replace('2.3.6', '1.7.2')),
        ),
        True,
        'generation before',
        'pip uninstall -y mmcv-full && ',
    ),
    'no toolbox': (
        dict(mmdet=Probe(missing=True), mmseg=Probe(missing=True), mmpretrain=Probe(missing=True)),
        True,
        'None of mmdet, mmseg and mmpretrain',
        'onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2 onedl-mmpretrain==1.3.6',
    ),
    'one toolbox missing': (
        dict(mmseg=Probe(missing=True)),
        False,
        'mmseg is not installed',
        'onedl-mmsegmentation==1.4.2',
    ),
    'toolbox without a package it imports': (
        dict(mmdet=Probe('3.5.1', "ModuleNotFoundError: No module named 'imgaug.augmenters'")),
        True,
        'imports imgaug.augmenters',
        'pip install --no-deps imaug',
    ),
    'toolbox broken': (
        dict(mmpretrain=Probe('1.3.6', 'TypeError: x')),
        True,
        'mmpretrain 1.3.6 does not load: TypeError: x',
        '--force-reinstall --no-deps --no-build-isolation onedl-mmpretrain==1.3.6',
    ),
    'operators without the gpu': (
        dict(
            torch=Probe('2.11.0+cu130', details=WITH_GPU),
            mmcv=Probe('2.3.6', details={'gpu_error': 'RuntimeError: nms_impl: CUDA not found'}),
        ),
        True,
        'do not run on it: RuntimeError: nms_impl',
        'export FORCE_CUDA=1; ',
    ),
    'gpu that torch cannot compute on': (
        dict(torch=Probe('2.11.0+cu130', details={**WITH_GPU, 'gpu_error': 'no kernel image'})),
        True,
        'no kernel image',
        'CUDA_VISIBLE_DEVICES=',
    ),
    'gpu driver too old': (dict(driver=True), False, 'sees no GPU', 'nvidia-smi'),
    'gpu, but torch for the cpu': (
        dict(
            driver=True,
            torch=Probe('2.11.0+cpu', details={'cuda': None, 'gpus': []}),
            torchvision=Probe('0.26.0+cpu'),
        ),
        False,
        'built for the CPU only',
        'pip install torch===2.11.0 torchvision===0.26.0 && ',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_combination_is_found(name, monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    changes, blocks, problem, command = BAD[name]
    facts = facts_with(**changes)
    findings = diagnose(facts)
    blocking = [finding for finding in findings if finding.blocks]
    assert bool(blocking) == blocks
    match = [f for f in findings if problem in f.problem]
    assert len(match) == 1, findings
    assert command in match[0].command
    # One cause, one command: what fails in its wake is not reported again.
    assert [f.problem for f in blocking] in ([], [match[0].problem])
    text = check.report(facts, findings)
    assert match[0].command in text
    assert ('Training cannot work' in text) == blocks


def test_every_rule_is_tested():
    found = set()
    for changes, *_ in BAD.values():
        facts = facts_with(**changes)
        found |= {rule.__name__ for rule in check.RULES if list(rule(facts))}
    assert found == {rule.__name__ for rule in check.RULES}


def test_what_blocks_comes_first():
    facts = facts_with(mmseg=Probe(missing=True), mmpretrain=Probe('1.3.6', 'TypeError: x'))
    assert [finding.blocks for finding in diagnose(facts)] == [True, False]


def test_commands_name_the_pinned_versions():
    constraints = (ROOT / 'requirements' / 'constraints.txt').read_text()
    pins = dict(re.findall(r'^([\w-]+)==([^\s;]+)', constraints, re.MULTILINE))
    assert {name: pins[name] for name in check.PINNED} == check.PINNED


def test_findings_cannot_be_changed():
    finding = Finding(True, 'problem', 'command')
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.blocks = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ('code', 'status', 'expected'),
    [(False, 0, 'Ready to train'), (True, 1, '1 problem.')],
)
def test_exit_status(monkeypatch, capsys, code, status, expected):
    facts = facts_with(cv2=Probe('4.12.0', LIBGL)) if code else GOOD
    monkeypatch.setattr(check, 'gather', lambda: facts)
    assert check.main([]) == status
    assert expected in capsys.readouterr().out


# For real: modules that are broken the way they break for users, ahead of the installed ones.


def probe_with_broken_modules(folder: Path, names: list[str], modules: dict[str, str]):
    """What a child process finds with `modules` (name: source) in the place of installed ones."""
    for name, source in modules.items():
        (folder / f'{name}.py').write_text(source)
    code = (
        'import json, sys\n'
        'from dataclasses import asdict\n'
        'from mmvmlp.check import probe_all\n'
        f'print(json.dumps({{n: asdict(p) for n, p in probe_all({names}).items()}}))'
    )
    environment = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}'}
    output = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    return {name: Probe(**probe) for name, probe in json.loads(output).items()}


def test_libgl_missing_for_real(tmp_path):
    source = "raise ImportError('libGL.so.1: cannot open shared object file')"
    probes = probe_with_broken_modules(tmp_path, ['cv2'], {'cv2': source})
    (finding,) = diagnose(facts_with(**probes))
    assert 'libGL.so.1' in finding.problem
    assert 'opencv-python-headless' in finding.command


def test_module_that_crashes_the_process_for_real(tmp_path):
    crash = "import os, signal\nprint('noise')\nos.kill(os.getpid(), signal.SIGSEGV)"
    probes = probe_with_broken_modules(tmp_path, ['numpy', 'cv2', 'pycocotools'], {'cv2': crash})
    assert probes['numpy'].error is None
    assert (probes['cv2'].error or '').startswith('killed by signal 11')
    assert probes['pycocotools'].error is None


def test_module_that_hangs_for_real(tmp_path, monkeypatch):
    (tmp_path / 'cv2.py').write_text('import time\ntime.sleep(60)')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    probes = check.probe_all(['cv2'], timeout=3)
    assert 'did not finish within 3 s' in (probes['cv2'].error or '')


def test_torchvision_operators_missing_for_real(tmp_path):
    modules = {
        'torchvision': "raise RuntimeError('operator torchvision::nms does not exist')",
    }
    probes = probe_with_broken_modules(tmp_path, ['torchvision'], modules)
    findings = diagnose(facts_with(**probes))
    assert any('one index' in finding.problem for finding in findings)


def test_torch_missing_is_reported_not_raised(tmp_path):
    # A module of this name that raises what its absence raises.
    (tmp_path / 'torch.py').write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    result = subprocess.run(
        [sys.executable, '-m', 'mmvmlp.check'],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stderr
    assert 'problem: torch is not installed.' in result.stdout
    assert 'Training cannot work: 1 problem.' in result.stdout
    assert 'Traceback' not in result.stdout + result.stderr


@pytest.mark.slow
def test_this_environment_can_train():
    result = subprocess.run(
        [sys.executable, '-m', 'mmvmlp.check'], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'Ready to train' in result.stdout
    for name in ('Python', 'mmvmlp', *check.PROBES):
        assert re.search(rf'^{name} +\S', result.stdout, re.MULTILINE), name
