"""Every bad combination of packages that the doctor knows, simulated."""

from typing import NamedTuple

import pytest

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import PINNED, TOOLBOXES
from mmvmlp.doctor.probes import Probe
from mmvmlp.doctor.report import report
from mmvmlp.doctor.rules import RULES, diagnose

GOOD = Facts(
    python=(3, 11, 7),
    distributions={**PINNED, 'setuptools': '80.9.0', 'mmvmlp': '0.1.0'},
    probes={
        'numpy': Probe('2.2.6'),
        'torch': Probe('2.11.0+cu130', details={'cuda': '13.0', 'gpus': [], 'gpu_error': None}),
        'torchvision': Probe('0.26.0+cu130'),
        'cv2': Probe('4.12.0'),
        'pycocotools': Probe('2.0.11'),
        'safetensors': Probe('0.8.0'),
        'wrapt': Probe('2.5.2'),
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
    assert report(GOOD, []).endswith('Ready to train on the CPU.')


def test_good_environment_with_gpu():
    facts = facts_with(torch=Probe('2.11.0+cu130', details=WITH_GPU), driver=True)
    assert diagnose(facts) == []
    text = report(facts, [])
    assert 'NVIDIA H200' in text
    assert text.endswith('Ready to train on the GPU.')


MISSING = Probe(missing=True)
NEEDS_TORCH = Probe('1.0', "ModuleNotFoundError: No module named 'torch'")
LIBGL = 'ImportError: libGL.so.1: cannot open shared object file: No such file or directory'
UNDEFINED = 'ImportError: mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c106'
NUMPY_1 = 'ValueError: numpy.dtype size changed, may indicate binary incompatibility.'
REFUSES = (
    'AssertionError: MMCV==2.3.6 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.'
)


class Bad(NamedTuple):
    """A bad environment, and words of what the doctor says about it."""

    problem: str
    fix: str
    blocks: bool
    facts: Facts


def bad(problem: str, fix: str, blocks: bool = True, **changes) -> Bad:
    return Bad(problem, fix, blocks, facts_with(**changes))


BAD = {
    'python too new': bad('3.13.0', 'make env PYTHON=', python=(3, 13, 0)),
    'python too old': bad('3.9.18', 'make env PYTHON=', python=(3, 9, 18)),
    'torch missing': bad(
        'torch is not installed',
        'pip install torch===2.11.0 torchvision===0.26.0',
        torch=MISSING,
        **dict.fromkeys(['torchvision', 'mmengine', 'mmcv', *TOOLBOXES], NEEDS_TORCH),
    ),
    'torch broken': bad(
        'libcudart',
        'pip uninstall -y torch torchvision && pip install torch===2.11.0',
        torch=Probe('2.11.0', 'ImportError: libcudart.so.13: cannot open'),
    ),
    'torch too old': bad(
        '2.1.2+cu121 is too old',
        'torch===2.11.0',
        torch=Probe('2.1.2+cu121'),
        torchvision=Probe('0.16.2+cu121'),
    ),
    'torch with known ways to run code from a checkpoint': bad(
        'CVE-2026-24747). 2.10 is the oldest supported',
        'pip install torch===2.11.0 torchvision===0.26.0',
        torch=Probe('2.9.1+cu130'),
        torchvision=Probe('0.24.1+cu130'),
    ),
    'torch and torchvision of different builds': bad(
        'one index',
        'pip install torch===2.11.0 torchvision===0.26.0',
        torch=Probe('2.11.0+cpu'),
        torchvision=Probe('0.26.0', 'RuntimeError: operator torchvision::nms does not exist'),
    ),
    'different builds that load': bad(
        'different builds',
        'torch===2.10.0 torchvision===0.25.0',
        blocks=False,
        torch=Probe('2.10.0+cpu'),
        torchvision=Probe('0.25.0+cu126'),
    ),
    'torchvision of another release': bad(
        'torch 2.11 goes with torchvision 0.26',
        'torchvision===0.26.0',
        torchvision=Probe('0.21.0+cu130', "RuntimeError: Couldn't load custom C++ ops"),
    ),
    'torchvision broken': bad(
        'libjpeg', 'torchvision===0.26.0', torchvision=Probe('0.26.0', 'OSError: libjpeg')
    ),
    'torchvision missing': bad(
        'torchvision is not installed', 'torchvision===0.26.0', torchvision=MISSING
    ),
    'numpy missing': bad(
        'numpy is not',
        'numpy==2.2.6',
        numpy=MISSING,
        **dict.fromkeys(
            ['torchvision', 'cv2', 'pycocotools', 'safetensors', 'mmengine', 'mmcv', 'mmdet'],
            Probe('0.26.0', "ModuleNotFoundError: No module named 'numpy'"),
        ),
    ),
    'numpy broken': bad(
        'openblas',
        '--force-reinstall numpy==2.2.6',
        numpy=Probe('2.2.6', 'ImportError: libscipy_openblas'),
    ),
    'pycocotools compiled for numpy 1': bad(
        'pycocotools was compiled for another major version of numpy than the installed 2.2.6',
        '--force-reinstall --no-deps --no-cache-dir pycocotools==',
        pycocotools=Probe('2.0.7', NUMPY_1),
    ),
    'opencv compiled for numpy 1': bad(
        'cv2 was compiled for another major version of numpy',
        'pip uninstall -y opencv-python && pip install --force-reinstall',
        distributions={'opencv-python-headless': None, 'opencv-python': '4.8.1.78'},
        cv2=Probe('4.8.1', 'ImportError: numpy.core.multiarray failed to import'),
        mmcv=Probe('2.3.6', 'ImportError: numpy.core.multiarray failed to import'),
    ),
    'toolbox dependency compiled for numpy 1': bad(
        'mmdet loads something that was compiled for another',
        'numpy<2',
        mmdet=Probe('3.3.0', NUMPY_1),
    ),
    'both builds of opencv': bad(
        'opencv-python and opencv-python-headless unpack into the same folder',
        'pip uninstall -y opencv-python opencv-python-headless && pip install --no-deps opencv-py',
        blocks=False,
        distributions={'opencv-python': '4.12.0.88'},
    ),
    'both builds of opencv, broken': bad(
        'same folder',
        'pip uninstall -y opencv-python opencv-python-headless',
        distributions={'opencv-python': '4.8.0.74'},
        cv2=Probe('4.8.0', 'AttributeError: x'),
    ),
    'libGL missing': bad(
        'libGL.so.1',
        'pip uninstall -y opencv-python && pip install --no-deps opencv-python-headless==',
        distributions={'opencv-python-headless': None, 'opencv-python': '4.12.0.88'},
        cv2=Probe('4.12.0.88', LIBGL),
        **dict.fromkeys(['mmcv', *TOOLBOXES], Probe('1.0', LIBGL)),
    ),
    'opencv missing': bad(
        'OpenCV (cv2) is not installed',
        'pip install --no-deps opencv-python-headless==',
        distributions={'opencv-python-headless': None},
        cv2=MISSING,
    ),
    'opencv broken': bad('OSError: x', 'headless', cv2=Probe('4.12.0', 'OSError: x')),
    'pycocotools missing': bad(
        'pycocotools is not installed; mmdet does not load without it',
        'pip install pycocotools==',
        pycocotools=MISSING,
    ),
    'pycocotools missing, without mmdet': bad(
        'pycocotools is not installed',
        'pip install pycocotools==',
        blocks=False,
        pycocotools=MISSING,
        mmdet=MISSING,
    ),
    'pycocotools broken, without mmdet': bad(
        '_mask',
        '--force-reinstall',
        blocks=False,
        pycocotools=Probe('2.0.11', 'ImportError: _mask'),
        mmdet=MISSING,
    ),
    'pycocotools compiled for numpy 1, without mmdet': bad(
        'pycocotools was compiled for another major version',
        '--no-cache-dir pycocotools==',
        blocks=False,
        pycocotools=Probe('2.0.7', NUMPY_1),
        mmdet=MISSING,
    ),
    'safetensors missing': bad(
        'safetensors is not installed', 'pip install safetensors==', safetensors=MISSING
    ),
    'safetensors broken': bad(
        'safetensors does not work; checkpoints are read with it: ImportError: _safetensors_rust',
        'pip install --force-reinstall --no-deps safetensors==',
        safetensors=Probe('0.8.0', 'ImportError: _safetensors_rust'),
    ),
    'wrapt missing': bad(
        'wrapt is not installed; without it `mmvmlp train`', 'pip install wrapt==', wrapt=MISSING
    ),
    'wrapt broken': bad(
        'wrapt does not work',
        'pip install --force-reinstall --no-deps wrapt==',
        wrapt=Probe('2.5.2', 'ImportError: _wrappers'),
    ),
    'pycocotools broken': bad(
        '_mask', '--force-reinstall', pycocotools=Probe('2.0.11', 'ImportError: _mask')
    ),
    'original and continued mmcv': bad(
        'onedl-mmcv and mmcv unpack into the same folder',
        'pip uninstall -y onedl-mmcv mmcv && pip install ninja',
        blocks=False,
        distributions={'mmcv': '2.1.0'},
    ),
    'original and continued mmdet, broken': bad(
        'onedl-mmdetection and mmdet unpack',
        'pip uninstall -y onedl-mmdetection mmdet && pip install --no-deps',
        distributions={'mmdet': '3.3.0'},
        mmdet=Probe('3.3.0', 'ImportError: mixed'),
    ),
    'mmengine missing': bad(
        'mmengine is not installed',
        'pip install --no-deps onedl-mmengine==',
        distributions={'onedl-mmengine': None},
        mmengine=MISSING,
    ),
    'mmengine broken': bad(
        'SyntaxError: x',
        'pip uninstall -y onedl-mmengine && pip install',
        mmengine=Probe('0.10.12', 'SyntaxError: x'),
    ),
    'original mmengine, which cannot read its checkpoints': bad(
        'cannot read its own checkpoints',
        'pip uninstall -y mmengine && pip install --no-deps onedl-mmengine==',
        blocks=False,
        distributions={'onedl-mmengine': None, 'mmengine': '0.10.7'},
        mmengine=Probe('0.10.7'),
    ),
    'original mmengine without pkg_resources': bad(
        'pkg_resources',
        'setuptools<82',
        distributions={'onedl-mmengine': None, 'mmengine': '0.10.7', 'setuptools': '82.0.0'},
        mmengine=Probe('0.10.7'),
    ),
    'mmcv missing': bad(
        'mmcv is not installed',
        '--no-build-isolation --no-cache-dir --no-deps --no-binary onedl-mmcv onedl-mmcv==',
        distributions={'onedl-mmcv': None},
        mmcv=MISSING,
    ),
    'mmcv-lite': bad(
        'mmcv-lite has no operators',
        'pip uninstall -y mmcv-lite && ',
        distributions={'onedl-mmcv': None, 'mmcv-lite': '2.1.0'},
        mmcv=Probe('2.1.0', "ModuleNotFoundError: No module named 'mmcv._ext'"),
    ),
    'mmcv without operators': bad(
        'without its operators',
        '--force-reinstall --no-binary onedl-mmcv onedl-mmcv==',
        mmcv=Probe('2.3.6', "ModuleNotFoundError: No module named 'mmcv._ext'"),
    ),
    'mmcv compiled for another torch': bad(
        'compiled for another torch than 2.11.0+cu130',
        '--no-cache-dir --no-deps --force-reinstall --no-binary onedl-mmcv onedl-mmcv==',
        mmcv=Probe('2.3.6', UNDEFINED),
        mmdet=Probe('3.5.1', UNDEFINED),
    ),
    'original mmcv compiled for another torch': bad(
        'mmcv 2.1.0 was compiled for another torch',
        '--no-binary mmcv mmcv==2.1.0',
        distributions={'onedl-mmcv': None, 'mmcv': '2.1.0'},
        mmcv=Probe('2.1.0', UNDEFINED),
    ),
    'mmcv that crashes': bad(
        'killed by signal 11',
        '--no-binary onedl-mmcv onedl-mmcv==',
        mmcv=Probe('2.3.6', 'killed by signal 11'),
    ),
    'mmcv newer than mmdet accepts': bad(
        'mmdet 3.3.0 accepts mmcv>=2.0.0rc4, <2.2.0, and 2.3.6 is installed',
        'pip uninstall -y mmdet && pip install --no-deps --no-build-isolation onedl-mmdetection==',
        distributions={'onedl-mmdetection': None, 'mmdet': '3.3.0'},
        mmdet=Probe('3.3.0', REFUSES),
    ),
    'mmcv newer than mmseg accepts': bad(
        'mmseg 1.2.2 accepts mmcv>=2.0.0rc4, and 2.3.6 is installed',
        'pip uninstall -y mmsegmentation && ',
        distributions={'onedl-mmsegmentation': None, 'mmsegmentation': '1.2.2'},
        mmseg=Probe(
            '1.2.2',
            'AssertionError: MMCV==2.3.6 is used but incompatible. Please install mmcv>=2.0.0rc4.',
        ),
    ),
    'mmcv of the generation before': bad(
        'generation before',
        'pip uninstall -y mmcv-full && ',
        distributions={'onedl-mmcv': None, 'mmcv-full': '1.7.2'},
        mmcv=Probe('1.7.2'),
        mmdet=Probe('3.5.1', REFUSES.replace('2.3.6', '1.7.2')),
    ),
    'no toolbox': bad(
        'None of mmdet, mmseg and mmpretrain',
        'onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2 onedl-mmpretrain==1.3.6',
        **dict.fromkeys(TOOLBOXES, MISSING),
    ),
    'one toolbox missing': bad(
        'mmseg is not installed', 'onedl-mmsegmentation==1.4.2', blocks=False, mmseg=MISSING
    ),
    'toolbox without a package it imports': bad(
        'imports imgaug.augmenters',
        'pip install --no-deps imaug',
        mmdet=Probe('3.5.1', "ModuleNotFoundError: No module named 'imgaug.augmenters'"),
    ),
    'toolbox broken': bad(
        'mmpretrain 1.3.6 does not load: TypeError: x',
        '--force-reinstall --no-deps --no-build-isolation onedl-mmpretrain==1.3.6',
        mmpretrain=Probe('1.3.6', 'TypeError: x'),
    ),
    'operators without the gpu': bad(
        'do not run on it: RuntimeError: nms_impl',
        'export FORCE_CUDA=1; ',
        torch=Probe('2.11.0+cu130', details=WITH_GPU),
        mmcv=Probe('2.3.6', details={'gpu_error': 'RuntimeError: nms_impl: CUDA not found'}),
    ),
    'gpu that torch cannot compute on': bad(
        'no kernel image',
        'CUDA_VISIBLE_DEVICES=',
        torch=Probe('2.11.0+cu130', details={**WITH_GPU, 'gpu_error': 'no kernel image'}),
    ),
    'gpu driver too old': bad('sees no GPU', 'nvidia-smi', blocks=False, driver=True),
    'gpu, but torch for the cpu': bad(
        'built for the CPU only',
        'pip install torch===2.11.0 torchvision===0.26.0 && ',
        blocks=False,
        driver=True,
        torch=Probe('2.11.0+cpu', details={'cuda': None, 'gpus': []}),
        torchvision=Probe('0.26.0+cpu'),
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_combination_is_found(name):
    problem, fix, blocks, facts = BAD[name]
    findings = diagnose(facts)
    blocking = [finding for finding in findings if finding.blocks]
    assert bool(blocking) == blocks
    match = [finding for finding in findings if problem in finding.problem]
    assert len(match) == 1, findings
    assert fix in match[0].fix
    # One cause, one fix: failures that follow from it are not reported again.
    assert [finding.problem for finding in blocking] in ([], [match[0].problem])
    text = report(facts, findings)
    assert f'fix: {match[0].fix}' in text
    assert ('Training cannot work' in text) == blocks


def test_every_rule_is_tested():
    found = {rule for case in BAD.values() for rule in RULES if list(rule(case.facts))}
    assert found == set(RULES)


def test_what_blocks_comes_first():
    facts = facts_with(mmseg=MISSING, mmpretrain=Probe('1.3.6', 'TypeError: x'))
    assert [finding.blocks for finding in diagnose(facts)] == [True, False]
