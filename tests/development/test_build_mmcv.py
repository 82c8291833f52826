"""Decisions of the program that compiles mmcv; nothing is compiled here."""

import shutil

import pytest

from development import build_mmcv


@pytest.mark.parametrize(
    ('choice', 'gpus', 'named', 'expected'),
    [
        ('auto', [], '', ''),
        ('auto', [], '8.0', ''),
        ('auto', ['8.0', '9.0'], '', '8.0;9.0'),
        ('cpu', ['9.0'], '9.0', ''),
        ('cuda', [], '8.0;9.0', '8.0;9.0'),
        ('cuda', ['8.0'], '9.0', '9.0'),
    ],
)
def test_architectures(monkeypatch, choice, gpus, named, expected):
    monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', named)
    assert build_mmcv.choose_architectures(choice, gpus) == expected


def test_cuda_without_gpu_needs_an_architecture(monkeypatch):
    monkeypatch.delenv('TORCH_CUDA_ARCH_LIST', raising=False)
    with pytest.raises(SystemExit, match='TORCH_CUDA_ARCH_LIST=9.0'):
        build_mmcv.choose_architectures('cuda', [])


def test_a_wheel_is_kept_for_one_torch_and_device():
    folders = {
        build_mmcv.wheel_folder(torch, device).name
        for torch in ('2.11.0+cu130', '2.11.0+cpu')
        for device in ('', '9.0', '8.0;9.0')
    }
    assert len(folders) == 6
    assert all(name.startswith('mmcv-2.3.6-torch-2.11.0+c') for name in folders)


def test_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(SystemExit, match=r'no-such-compiler.*(\n.*)*apt-get install g\+\+'):
        build_mmcv.check_compiler()


@pytest.mark.skipif(shutil.which('c++') is None, reason='no C++ compiler')
def test_missing_python_headers_are_named(monkeypatch, tmp_path):
    monkeypatch.delenv('CXX', raising=False)
    build_mmcv.check_compiler()
    monkeypatch.setattr('sysconfig.get_path', lambda name: str(tmp_path))
    with pytest.raises(SystemExit, match=r'Python\.h.*(\n.*)*apt-get install'):
        build_mmcv.check_compiler()


def test_sources_are_grouped_and_setup_compiles_the_groups(tmp_path):
    operators = tmp_path / 'mmcv/ops/csrc/pytorch'
    (operators / 'cpu').mkdir(parents=True)
    for name in ('cpu/roi_align', 'cpu/roi_align_rotated', 'nms', *(f'other{i}' for i in range(9))):
        (operators / f'{name}.cpp').write_text('#define min(a, b) a\n')
    pattern = "glob.glob('./mmcv/ops/csrc/pytorch{}*.cpp')\n"
    (tmp_path / 'setup.py').write_text(pattern.format('/') + pattern.format('/cpu/'))
    build_mmcv.write_grouped_setup(tmp_path)
    groups = [path.read_text() for path in sorted((tmp_path / '.groups').glob('*.cpp'))]
    text = ''.join(groups)
    assert text.count('#include') == text.count('#undef min\n') == 12
    assert all(text.count(f'"{path}"') == 1 for path in operators.rglob('*.cpp'))
    assert not any(
        'roi_align.cpp' in group and 'roi_align_rotated.cpp' in group for group in groups
    )
    setup = (tmp_path / 'setup_grouped.py').read_text()
    assert setup == "glob.glob('./.groups/*.cpp')\nglob.glob('./.groups/cpu/*.cpp')\n"


@pytest.mark.parametrize('works', [True, False])
def test_cached_wheel_that_does_not_work_is_compiled_anew(monkeypatch, tmp_path, works):
    pytest.importorskip('torch')
    wheel = tmp_path / 'wheel'
    wheel.write_text('cached')
    monkeypatch.setenv('MMVMLP_OPS', 'cpu')
    monkeypatch.setattr(build_mmcv, 'wheel_folder', lambda *_: wheel)
    monkeypatch.setattr(
        build_mmcv, 'install_wheel', lambda *_: works or wheel.read_text() == 'compiled'
    )
    monkeypatch.setattr(
        build_mmcv, 'compile_wheel', lambda folder, _: folder.write_text('compiled')
    )
    build_mmcv.main()
    assert wheel.read_text() == ('cached' if works else 'compiled')


def test_compiled_wheel_that_does_not_work_is_an_error(monkeypatch, tmp_path):
    pytest.importorskip('torch')
    monkeypatch.setenv('MMVMLP_OPS', 'cpu')
    monkeypatch.setattr(build_mmcv, 'wheel_folder', lambda *_: tmp_path / 'none')
    monkeypatch.setattr(build_mmcv, 'install_wheel', lambda *_: False)
    monkeypatch.setattr(build_mmcv, 'compile_wheel', lambda *_: None)
    with pytest.raises(SystemExit, match='does not run with torch'):
        build_mmcv.main()
