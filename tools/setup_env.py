"""Set up ``.venv``: the pinned stack of ``requirements/``, with mmcv compiled for its torch.

Called by ``make env``; needs nothing but the standard library. Each step says what it does and
about how long that takes; the full output goes to ``.venv/setup.log``. A second call finds the
environment complete and returns at once. An environment is complete when ``.venv/setup.json``
says so, and that is written last: after an interruption the next call takes up where it can, and
starts afresh where a half-written package may be left.

Compiled wheels of mmcv are kept in ``~/.cache/mmvmlp/wheels`` (``$XDG_CACHE_HOME`` is honoured),
one folder for every combination of torch, Python, mmcv and CPU or GPU architecture.

``MMVMLP_OPS=cpu`` or ``cuda`` chooses what mmcv is compiled for; otherwise it is compiled for the
GPU when torch sees one. ``MAX_JOBS`` limits the compiler's processes.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    ProgressReader = Callable[[str], 'str | None']

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
VENV_PYTHON = VENV / 'bin' / 'python'
STATE = VENV / 'setup.json'
LOG = VENV / 'setup.log'
REQUIREMENTS = ROOT / 'requirements'
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)


class SetupError(Exception):
    """A failure the user can do something about; the message says what."""


# --------------------------------------------------------------------------------------------------
# What is wanted, and what is there
# --------------------------------------------------------------------------------------------------


def python_version() -> str:
    """Version of the running Python, as far as binary packages depend on it."""
    return f'{sys.version_info.major}.{sys.version_info.minor}'


def stack_key(python: str) -> str:
    """Name of the environment that the requirement files ask for, for one Python.

    Args:
        python: Python's major and minor version.
    """
    digest = hashlib.sha256(f'{python} {platform.machine()} {VENV}'.encode())
    for path in sorted(REQUIREMENTS.glob('*.txt')):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def package_key() -> str:
    """Name of the metadata that the installed package must have been made from."""
    return hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()


def read_state() -> dict:
    """What the last call left behind; empty where there is nothing readable."""
    try:
        state = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(state: dict) -> None:
    """Replace the state in one go, so that an interruption leaves the old or the new one."""
    partial = STATE.with_suffix('.partial')
    partial.write_text(json.dumps(state, indent=1))
    os.replace(partial, STATE)


def venv_runs() -> bool:
    """Whether the environment's Python starts: the one it was made from may be gone."""
    try:
        return subprocess.run([str(VENV_PYTHON), '-c', ''], capture_output=True).returncode == 0
    except OSError:
        return False


def is_complete(state: dict, any_python: bool) -> bool:
    """Whether the environment that ``state`` describes is the one wanted now.

    Args:
        state: As read by `read_state`.
        any_python: Accept an environment made with another supported Python.
    """
    python = state.get('python', '') if any_python else python_version()
    return (
        state.get('complete') is True
        and state.get('stack') == stack_key(python)
        and state.get('package') == package_key()
        and os.environ.get('MMVMLP_OPS', '') in ('', state.get('operators'))
        and venv_runs()
    )


# --------------------------------------------------------------------------------------------------
# Checks before anything is downloaded
# --------------------------------------------------------------------------------------------------


def check_python() -> None:
    """Refuse a Python for which the stack has no packages."""
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON and sys.maxsize > 2**32:
        return
    there = [f'python3.{minor}' for minor in (12, 11, 10) if runs(f'python3.{minor}')]
    advice = (
        f'This machine has {there[0]}: use it with\n    make env PYTHON={there[0]}'
        if there
        else 'Install one of them, then name it, for example:\n    make env PYTHON=python3.12'
    )
    raise SetupError(
        f'{sys.executable} is Python {platform.python_version()} '
        f'({platform.architecture()[0]}); 64-bit Python 3.10, 3.11 or 3.12 is needed. {advice}'
    )


def runs(command: str) -> bool:
    """Whether a Python of this name starts; version managers leave names that do not."""
    try:
        return subprocess.run([command, '-c', ''], capture_output=True).returncode == 0
    except OSError:
        return False


def check_venv_module() -> None:
    """Refuse a Python that cannot make an environment (Debian packages that part separately)."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f'{sys.executable} cannot make environments ({error}). Install the missing part, '
            f'on Debian and Ubuntu:\n    apt-get install python{python_version()}-venv'
        ) from error


def check_compiler(headers: str) -> None:
    """Refuse to start where mmcv could not be compiled: no C++17, or no headers of Python.

    Args:
        headers: The folder where Python's headers should be.

    Raises:
        SetupError: Something is missing; the message says how to install it.
    """
    compiler = os.environ.get('CXX', 'c++')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'probe.cpp'
        source.write_text(
            '#include <Python.h>\n#include <optional>\nint main() { return *std::optional(0); }\n'
        )
        command = [*compiler.split(), '-std=c++17', '-fsyntax-only']
        command += [f'-I{headers}', str(source)]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise SetupError(
                f"no C++ compiler: {compiler!r} does not start ({error.strerror}). mmcv's "
                'operators are compiled on this machine. Install one, on Debian and Ubuntu:\n'
                '    apt-get install g++'
            ) from error
    if result.returncode == 0:
        return
    if 'Python.h' in result.stderr:
        raise SetupError(
            f"Python's C++ headers are missing (Python.h in {headers}); mmcv's operators need "
            f'them. Install them, on Debian and Ubuntu:\n'
            f'    apt-get install python{python_version()}-dev'
        )
    raise SetupError(
        f"the C++ compiler {compiler!r} cannot compile C++17, which mmcv's operators need "
        f'(g++ 9 or newer can). Name another with CXX=…. It said:\n{result.stderr.strip()}'
    )


# --------------------------------------------------------------------------------------------------
# Running pip and the compiler, with progress
# --------------------------------------------------------------------------------------------------


def child_environment() -> dict:
    """The environment for pip: settings that would send packages elsewhere are taken out."""
    variables = dict(os.environ)
    for name in ('PYTHONPATH', 'PYTHONHOME', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_CONSTRAINT'):
        variables.pop(name, None)
    variables.update(PIP_USER='0', PYTHONNOUSERSITE='1', PIP_DISABLE_PIP_VERSION_CHECK='1')
    variables['PATH'] = f'{VENV / "bin"}{os.pathsep}{variables.get("PATH", "")}'
    return variables


def run(
    command: Iterable[str | Path],
    progress: ProgressReader = lambda line: None,
    environment: dict | None = None,
) -> None:
    """Run a command into the log, showing what `progress` makes of its lines.

    Args:
        command: Program and arguments.
        progress: Makes a short status of an output line, or None.
        environment: Variables to set besides the usual ones.

    Raises:
        SetupError: The command failed; the message ends with the last lines of its output.
    """
    words = [str(word) for word in command]
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    start = time.monotonic()
    last_lines = []
    shown = ''
    with LOG.open('a') as log:
        log.write(f'\n$ {" ".join(words)}\n')
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**child_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            # The lock of main() goes with it: should this process be killed, the next call waits
            # until this command has ended as well.
            close_fds=False,
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                status = progress(line)
                if not line.startswith('Progress '):
                    log.write(line)
                    log.flush()
                    last_lines = [*last_lines[-29:], line]
                if status and status != shown:
                    minutes, seconds = divmod(int(time.monotonic() - start), 60)
                    text = f'      {minutes}:{seconds:02d}  {status}'
                    print(f'\r\033[K{text[:width]}' if terminal else text, end='', flush=True)
                    if not terminal:
                        print(flush=True)
                    shown = status
            code = process.wait()
        except BaseException:
            # All of it: pip, venv and ninja have children of their own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            if terminal:
                print('\r\033[K', end='', flush=True)
    if code != 0:
        raise SetupError(
            f'this command failed (exit status {code}):\n    {" ".join(words)}\n'
            f'It ended with\n{"".join(last_lines)}The whole output is in {LOG}.'
        )


def pip_progress() -> ProgressReader:
    """A reader of pip's output that names each large download and how far it has come."""
    current = ''
    large = re.compile(r'\s*Downloading (\S+?)-[\d.]+\S* \((\d+\.?\d* [MG]B)\)')
    quiet_until = 0.0

    def read(line: str) -> str | None:
        nonlocal current, quiet_until
        if line.startswith('Installing collected packages'):
            return f'unpacking {line.count(",") + 1} packages'
        if line.startswith('Progress ') and current:
            done, _, total = line[len('Progress ') :].partition(' of ')
            if not sys.stdout.isatty() or time.monotonic() < quiet_until:
                return None
            quiet_until = time.monotonic() + 0.2
            return f'{current} {100 * int(done) // max(int(total), 1)} %'
        match = large.match(line)
        if match and (match[2].endswith('GB') or float(match[2].split()[0]) >= 20):
            current = f'downloading {match[1]} ({match[2]})'
            return current
        if 'Downloading' in line:
            current = ''
        return None

    return read


def compiler_progress() -> ProgressReader:
    """A reader of ninja's output that counts the files compiled."""
    counter = re.compile(r'\s*\[(\d+)/(\d+)\]')
    shown = 0

    def read(line: str) -> str | None:
        nonlocal shown
        match = counter.match(line)
        if not match:
            return None
        done, total = int(match[1]), int(match[2])
        if not sys.stdout.isatty() and done < total and done - shown < 10:
            return None
        shown = done
        return f'compiled {done} of {total} files'

    return read


def pip_install(*arguments: str | Path) -> None:
    """Install into the environment.

    Args:
        *arguments: What follows ``pip install``.
    """
    # --no-compile: pip compiles to bytecode on one core, `compile_bytecode` on all of them.
    run(
        [VENV_PYTHON, '-m', 'pip', 'install', '--no-compile', '--progress-bar=raw', *arguments],
        pip_progress(),
    )


def ask_venv(code: str) -> str:
    """Run Python code in the environment and return what it prints.

    Args:
        code: The statements to run.

    Raises:
        SetupError: The code failed; the message is the last line of its output.
    """
    result = subprocess.run(
        [str(VENV_PYTHON), '-c', code],
        cwd=VENV,
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise SetupError(lines[-1] if lines else f'exit status {result.returncode}')
    return result.stdout.strip()


# --------------------------------------------------------------------------------------------------
# The steps
# --------------------------------------------------------------------------------------------------


def make_venv() -> None:
    """Make an empty environment with the tools that build packages."""
    run([sys.executable, '-m', 'venv', VENV])
    # Not pip_install: the pip that comes with Python may be too old to report progress.
    run([VENV_PYTHON, '-m', 'pip', 'install', '-r', REQUIREMENTS / 'build.txt'])


def install_packages() -> None:
    """Install PyTorch and everything else that is not OpenMMLab's, and see that torch works."""
    pip_install('-r', REQUIREMENTS / 'runtime.txt', '-r', REQUIREMENTS / 'test.txt')
    try:
        ask_venv(
            'import torch, torchvision\n'
            'torchvision.ops.nms(torch.tensor([[0., 0, 1, 1]]), torch.ones(1), 0.5)'
        )
    except SetupError as error:
        versions = ask_venv(
            'from importlib.metadata import version\n'
            "print('torch', version('torch'), 'and torchvision', version('torchvision'))"
        )
        raise SetupError(
            f'{versions} were installed and do not work together: {error}\nThey have to come from '
            'one index. See which indexes and folders pip is told to look in with\n'
            f'    {VENV_PYTHON} -m pip config list'
        ) from error


def install_openmmlab() -> None:
    """Install the OpenMMLab packages that are pure Python."""
    pip_install('--no-build-isolation', '--no-deps', '-r', REQUIREMENTS / 'openmmlab.txt')


def install_mmcv() -> None:
    """Install mmcv from our cache of wheels, compiling it first where the cache has none."""
    target = mmcv_target()
    folder = wheel_cache() / target['key']
    wheels = sorted(folder.glob('*.whl'))
    if wheels:
        print(f'      the compiled wheel is in {folder}')
        try:
            pip_install('--force-reinstall', '--no-deps', wheels[0])
            check_mmcv(target)
            return
        except SetupError as error:
            reason = str(error).splitlines()[0]
            print(f'      it does not work here ({reason}): compiling it anew')
            shutil.rmtree(folder)
    check_compiler(ask_venv("import sysconfig; print(sysconfig.get_path('include'))"))
    wheel = build_mmcv(target, folder)
    pip_install('--force-reinstall', '--no-deps', wheel)
    try:
        check_mmcv(target)
    except SetupError as error:
        shutil.rmtree(folder)
        raise SetupError(
            f'mmcv was compiled for torch {target["torch"]}, but does not work: {error}\n'
            f"The compiler's output is in {LOG}."
        ) from error


def compile_bytecode() -> None:
    """Compile every module, but for the packages' own tests.

    Python does so by itself where it may write: not where ``PYTHONDONTWRITEBYTECODE`` is set, as
    in many containers. Importing mmdetection takes four times as long there.
    """
    run([VENV_PYTHON, '-m', 'compileall', '-q', '-j', '0', '-x', '/tests?/', VENV / 'lib'])


def install_package() -> None:
    """Install the package itself, as a link to this checkout."""
    pip_install('--no-build-isolation', '--no-deps', '-e', ROOT)


def run_check() -> None:
    """Let the package's own check have the last word."""
    code = subprocess.run(
        [str(VENV_PYTHON), '-m', 'mmvmlp.check'], cwd=ROOT, env=child_environment()
    ).returncode
    if code != 0:
        raise SetupError('the environment is there, but the check above found problems in it')


# Name, whether an interruption can leave a half-written package, what is done and how long that
# takes on two cores, the function.
STEPS = (
    ('venv', True, 'an empty environment and build tools: 5 s', make_venv),
    (
        'packages',
        True,
        'PyTorch and other packages: 1 min, and what downloading 2 GB takes here',
        install_packages,
    ),
    (
        'openmmlab',
        True,
        'mmengine, mmdetection, mmsegmentation, mmpretrain: 20 s',
        install_openmmlab,
    ),
    (
        'mmcv',
        False,
        'mmcv with compiled operators: 10 s if an earlier set-up compiled it, else 5 min',
        install_mmcv,
    ),
    ('bytecode', False, 'bytecode, so that programs start quickly: 15 s', compile_bytecode),
    ('package', False, 'mmvmlp itself: 5 s', install_package),
    ('check', False, 'a check of all of it: 10 s', run_check),
)


# --------------------------------------------------------------------------------------------------
# mmcv's operators
# --------------------------------------------------------------------------------------------------


def wheel_cache() -> Path:
    """The folder of compiled wheels that all clones share."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mmvmlp' / 'wheels'


def mmcv_target() -> dict:
    """What mmcv is to be compiled for: torch's version, Python's, CPU or which GPUs.

    Raises:
        SetupError: Operators for the GPU are wanted and cannot be compiled.
    """
    choice = os.environ.get('MMVMLP_OPS', '')
    facts = json.loads(
        ask_venv(
            'import json, sys, torch\n'
            'from torch.utils.cpp_extension import CUDA_HOME\n'
            'gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()\n'
            "print(json.dumps(dict(python='cp%d%d' % sys.version_info[:2],"
            ' torch=torch.__version__, cuda=torch.version.cuda,'
            ' toolkit=CUDA_HOME, gpus=[torch.cuda.get_device_name(i) for i in gpus],'
            " architectures=sorted({'%d.%d' % torch.cuda.get_device_capability(i)"
            ' for i in gpus}))))'
        )
    )
    pins = (REQUIREMENTS / 'constraints.txt').read_text()
    version = re.search(r'^onedl-mmcv==(\S+)', pins, re.MULTILINE)
    if version is None:
        raise SetupError('requirements/constraints.txt has no line onedl-mmcv==VERSION')
    architectures = ''
    if choice == 'cuda' or (choice == '' and facts['gpus']):
        check_cuda_toolkit(facts)
        architectures = os.environ.get('TORCH_CUDA_ARCH_LIST') or ';'.join(facts['architectures'])
        if not architectures:
            raise SetupError(
                'MMVMLP_OPS=cuda, but torch sees no GPU here: name the architectures to compile '
                'for as well, for example\n    make env MMVMLP_OPS=cuda TORCH_CUDA_ARCH_LIST=9.0'
            )
    device = 'cuda-' + re.sub(r'[^\w.+]+', '-', architectures) if architectures else 'cpu'
    return {
        'torch': facts['torch'],
        'architectures': architectures,
        'gpu_seen': bool(facts['gpus']),
        'key': f'mmcv-{version[1]}-torch-{facts["torch"]}-{facts["python"]}'
        f'-{platform.machine()}-{device}',
    }


def check_cuda_toolkit(facts: dict) -> None:
    """Refuse to compile for the GPU with another CUDA than torch's.

    Args:
        facts: Torch's CUDA version, the toolkit's folder, the names of the GPUs.

    Raises:
        SetupError: There is no such toolkit; the message says what to do instead.
    """
    if facts['cuda'] is None:
        raise SetupError(f'MMVMLP_OPS=cuda, but torch {facts["torch"]} is built without CUDA')
    found = 'there is no nvcc'
    if facts['toolkit']:
        nvcc = Path(facts['toolkit']) / 'bin' / 'nvcc'
        try:
            output = subprocess.run([str(nvcc), '--version'], capture_output=True, text=True).stdout
        except OSError:
            output = ''
        release = re.search(r'release (\d+)\.(\d+)', output)
        if release and release[1] == facts['cuda'].split('.')[0]:
            return
        if release:
            found = f'{nvcc} is of CUDA {release[1]}.{release[2]}'
    seen = f'torch sees a GPU ({facts["gpus"][0]})' if facts['gpus'] else 'MMVMLP_OPS=cuda'
    raise SetupError(
        f"{seen}, so mmcv's operators are to be compiled with CUDA {facts['cuda']}, but {found}. "
        f'Install the CUDA toolkit {facts["cuda"]} and name it, if it is not found by itself:\n'
        f'    make env CUDA_HOME=/usr/local/cuda-{facts["cuda"]}\n'
        'or train on the CPU only:\n'
        '    export CUDA_VISIBLE_DEVICES=; make env MMVMLP_OPS=cpu'
    )


def build_mmcv(target: dict, folder: Path) -> Path:
    """Compile mmcv for the environment's torch, and put the wheel into the cache.

    Args:
        target: As made by `mmcv_target`.
        folder: Where in the cache the wheel belongs; comes to be with the wheel in it.

    Returns:
        The wheel's path.
    """
    cores = len(os.sched_getaffinity(0))
    # A compiler process of mmcv's takes up to 1.5 GB.
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    jobs = os.environ.get('MAX_JOBS') or str(max(1, min(cores, memory // 2**31)))
    environment = {'MAX_JOBS': jobs}
    # Python's own flags ask for debugging symbols, which cost a third of the time.
    for name in ('CFLAGS', 'CXXFLAGS'):
        environment[name] = f'{os.environ.get(name, "")} -g0'.strip()
    if target['architectures']:
        environment.update(FORCE_CUDA='1', TORCH_CUDA_ARCH_LIST=target['architectures'])
        print(f'      compiling for the GPU with {jobs} processes: longer than for the CPU')
    else:
        environment.update(FORCE_CUDA='0', CUDA_VISIBLE_DEVICES='')
        print(f'      compiling with {jobs} processes: 5 min on two cores')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.building-', dir=folder.parent) as partial:
        built = Path(partial) / 'wheel'
        command = [VENV_PYTHON, '-m', 'pip', 'wheel', '-v', '--no-build-isolation']
        command += ['--no-cache-dir', '--no-deps', '-w', built, '-r', REQUIREMENTS / 'mmcv.txt']
        run(command, compiler_progress(), environment)
        try:
            os.replace(built, folder)
        except OSError:
            # Another clone compiled the same meanwhile.
            if not list(folder.glob('*.whl')):
                raise
    return next(folder.glob('*.whl'))


def check_mmcv(target: dict) -> None:
    """See that mmcv's operators run.

    Args:
        target: As made by `mmcv_target`.

    Raises:
        SetupError: They do not.
    """
    devices = ['cpu', 'cuda'] if target['architectures'] and target['gpu_seen'] else ['cpu']
    ask_venv(
        'import torch\n'
        'from mmcv.ops import nms\n'
        f'for device in {devices}:\n'
        '    boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8]], device=device)\n'
        '    scores = torch.tensor([.5, .9], device=device)\n'
        "    assert nms(boxes, scores, 0.5)[1].tolist() == [1], f'wrong result on {device}'"
    )


# --------------------------------------------------------------------------------------------------


def begin(any_python: bool) -> dict:
    """Decide what of an environment that is already there can be kept.

    Args:
        any_python: Keep one that was made with another supported Python.

    Returns:
        The state to go on from.

    Raises:
        SetupError: What is there was not made by this script.
    """
    state = read_state()
    python = state.get('python') if any_python and state else python_version()
    # What was chosen for mmcv's operators holds until something else is.
    operators = os.environ.get('MMVMLP_OPS') or state.get('operators', '')
    wanted = {'python': python, 'stack': stack_key(python), 'operators': operators, 'done': []}
    if not VENV.exists():
        return wanted
    if not state and any(VENV.iterdir()):
        raise SetupError(
            f'{VENV} was not made by `make env`. Move it away, or remove it with\n'
            '    make clean-env'
        )
    if state.get('running'):
        reason = 'an interrupted set-up may have left half a package'
    elif state.get('stack') != wanted['stack']:
        reason = 'the requirements or the Python are others than it was made for'
    elif not venv_runs():
        reason = 'its Python does not start any more'
    else:
        # The package's metadata may have changed, and a check that failed must be repeated.
        again = {'package', 'check'}
        if operators != state['operators']:
            again |= {'mmcv', 'bytecode'}
        done = [name for name in state['done'] if name not in again]
        return {**wanted, 'done': done}
    print(f'Removing .venv: {reason}.')
    # Out of the way first: if this is interrupted, no half of it must stand in its place.
    removed = VENV.with_name('.venv.old')
    shutil.rmtree(removed, ignore_errors=True)
    os.replace(VENV, removed)
    shutil.rmtree(removed, ignore_errors=True)
    return {**wanted, 'python': python_version(), 'stack': stack_key(python_version())}


def set_up(any_python: bool) -> None:
    """Bring the environment to completion, or return at once where it is complete.

    Args:
        any_python: Keep an environment that was made with another supported Python.

    Raises:
        SetupError: It cannot be completed; the message says why and what to do.
    """
    state = read_state()
    if is_complete(state, any_python):
        print(f'The environment .venv is ready (Python {state["python"]}).')
        return
    choice = os.environ.get('MMVMLP_OPS', '')
    if choice not in ('', 'cpu', 'cuda'):
        raise SetupError(f'MMVMLP_OPS is {choice!r}; accepted are cpu, cuda, or nothing')
    check_python()
    check_venv_module()
    state = begin(any_python)
    os.environ['MMVMLP_OPS'] = state['operators']
    if 'mmcv' not in state['done'] and not list(wheel_cache().glob('mmcv-*/*.whl')):
        check_compiler(sysconfig.get_path('include'))
    start = time.monotonic()
    print(f'Setting up .venv (Python {state["python"]}); details go to .venv/setup.log')
    VENV.mkdir(exist_ok=True)
    for number, (name, leaves_halves, what, step) in enumerate(STEPS, 1):
        if name in state['done']:
            continue
        print(f'[{number}/{len(STEPS)}] {what}', flush=True)
        write_state({**state, 'running': name if leaves_halves else None})
        step()
        state['done'].append(name)
        write_state({**state, 'running': None})
    write_state({**state, 'running': None, 'complete': True, 'package': package_key()})
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f'The environment .venv is ready after {minutes} min {seconds} s.')


def main() -> NoReturn:
    """Read the arguments, set up, and exit with a status."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n\n')[0])
    parser.add_argument(
        '--any-python',
        action='store_true',
        help='keep a complete environment that was made with another supported Python',
    )
    any_python = parser.parse_args().any_python
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated; `make env` goes on from here'))
    # Two calls at once (make demo beside make test) must not write into one another.
    checkout = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(checkout, True)
    try:
        fcntl.flock(checkout, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print('Waiting for another `make env` in this checkout to end.', flush=True)
        fcntl.flock(checkout, fcntl.LOCK_EX)
    try:
        set_up(any_python)
    except SetupError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('interrupted; `make env` goes on from here')
    sys.exit(0)


if __name__ == '__main__':
    main()
