"""Install mmcv, with its operators compiled for this Python's torch; ``make env`` calls it."""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENT = ROOT / 'requirements/mmcv.txt'
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmvmlp'
TRY_OPERATORS = """
import sys, torch, torchvision, mmcv.ops
for device in sys.argv[1:]:
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]], device=device)
    scores = torch.tensor([0.5, 0.9], device=device)
    kept = torchvision.ops.nms(boxes, scores, 0.5), mmcv.ops.nms(boxes, scores, 0.5)[1]
    assert kept[0].tolist() == kept[1].tolist() == [1], f'wrong result on {device}: {kept}'
"""


def check_compiler() -> None:
    """Exit where there is no C++17 compiler, or no Python.h."""
    compiler, headers = os.environ.get('CXX', 'c++'), sysconfig.get_path('include')
    command = f'{compiler} -std=c++17 -fsyntax-only -I"{headers}" -include Python.h -xc++ /dev/null'
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(
            f'error: compiling mmcv needs a C++17 compiler and Python.h ({headers}):\n{done.stderr}'
            'On Debian and Ubuntu:\n    apt-get install g++ python3-dev'
        )


def choose_architectures(choice: str, gpus: list[str]) -> str:
    """Return the GPU architectures to compile for, as in ``'8.0;9.0'``, or '' for the CPU."""
    if choice == 'cpu' or (choice == 'auto' and not gpus):
        return ''
    if architectures := os.environ.get('TORCH_CUDA_ARCH_LIST') or ';'.join(gpus):
        return architectures
    sys.exit(
        'error: MMVMLP_OPS=cuda, but torch sees no GPU here: name the architectures, for example\n'
        '    make env MMVMLP_OPS=cuda TORCH_CUDA_ARCH_LIST=9.0'
    )


def wheel_folder(torch: str, architectures: str) -> Path:
    """Return a wheel's folder in the cache, named after all that the wheel depends on."""
    mmcv = re.findall(r'^onedl-mmcv==(\S+)', REQUIREMENT.read_text(), re.MULTILINE)[0]
    machine = f'{sys.implementation.cache_tag}-{platform.machine()}'
    device = 'cuda-' + re.sub(r'[^\w.+]+', '-', architectures) if architectures else 'cpu'
    return CACHE / f'wheels/mmcv-{mmcv}-torch-{torch}-{machine}-{device}'


def write_grouped_setup(source: Path) -> None:
    """Write a ``setup_grouped.py`` that compiles mmcv's 78 sources, mostly headers, as eight."""
    operators = source / 'mmcv/ops/csrc/pytorch'
    sources = sorted([*operators.glob('*.cpp'), *operators.glob('cpu/*.cpp')])
    (source / '.groups').mkdir()  # The dot keeps it out of the wheel.
    for number in range(8):
        lines = []
        # Sources that define the same name (roi_align, roi_align_rotated) are neighbours in the
        # alphabet; dealt out in turn, they come into different groups.
        for path in sources[number::8]:
            # A macro such as `min` must not reach into the next source.
            macros = re.findall(r'^#define (\w+)', path.read_text(), re.MULTILINE)
            lines += [f'#include "{path}"', *(f'#undef {macro}' for macro in macros)]
        (source / f'.groups/{number}.cpp').write_text('\n'.join([*lines, '']))
    setup = (source / 'setup.py').read_text()
    grouped = re.sub(r'mmcv/ops/csrc/pytorch/(cpu/)?\*\.cpp', r'.groups/\1*.cpp', setup)
    (source / 'setup_grouped.py').write_text(grouped)


def compile_wheel(folder: Path, architectures: str) -> None:
    """Compile mmcv, and put the wheel's folder into the cache in one step."""
    check_compiler()
    variables = {'MAX_JOBS': str(len(os.sched_getaffinity(0))), **os.environ}
    # In place of Python's own flags, which may ask for debugging symbols.
    variables['CFLAGS'] = variables['CXXFLAGS'] = '-O2 -DNDEBUG'
    gpu = {'FORCE_CUDA': '1', 'TORCH_CUDA_ARCH_LIST': architectures}
    variables |= gpu if architectures else {'FORCE_CUDA': '0', 'CUDA_VISIBLE_DEVICES': ''}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.building-', dir=folder.parent) as building:
        pip = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--no-build-isolation']
        pip += ['--require-hashes', '-r', str(REQUIREMENT), '-d', building]
        subprocess.run(pip, env=variables, check=True)
        shutil.unpack_archive(next(Path(building).glob('*.tar.gz')), building)
        source = next(Path(building).glob('*/setup.py')).parent
        write_grouped_setup(source)
        # Where a compiler does not take the groups, each source is compiled by itself.
        for program in ('setup_grouped.py', 'setup.py'):
            command = [sys.executable, program, 'bdist_wheel', '--dist-dir', 'wheel']
            if subprocess.run(command, cwd=source, env=variables).returncode == 0:
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(source / 'wheel', folder)
                return
    sys.exit(
        "error: mmcv was not compiled, see above. A GPU needs nvcc of torch's CUDA version, or:\n"
        '    export CUDA_VISIBLE_DEVICES=; make env MMVMLP_OPS=cpu'
    )


def install_wheel(folder: Path, devices: list[str]) -> bool:
    """Install the wheel of a folder, and return whether its operators run."""
    install = ['uv', 'pip', 'install', '--python', sys.executable, '--reinstall', '--no-deps']
    run_operators = [sys.executable, '-c', TRY_OPERATORS, *devices]
    commands = ([*install, *map(str, folder.glob('*.whl'))], run_operators)
    return all(subprocess.run(command, cwd=folder).returncode == 0 for command in commands)


def main() -> None:
    """Install a wheel that works: the cached one, or else a new one."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    gpus = sorted({'{}.{}'.format(*torch.cuda.get_device_capability(device)) for device in devices})
    architectures = choose_architectures(os.environ.get('MMVMLP_OPS', 'auto'), gpus)
    folder = wheel_folder(torch.__version__, architectures)
    tried = ['cpu', 'cuda'] if architectures and gpus else ['cpu']
    if not (folder.exists() and install_wheel(folder, tried)):
        compile_wheel(folder, architectures)
        if not install_wheel(folder, tried):
            sys.exit(f'error: mmcv does not run with torch {torch.__version__}, see above')


if __name__ == '__main__':
    main()
