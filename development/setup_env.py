"""Set up ``.venv``: the packages of ``requirements/``, with mmcv compiled for their torch.

``make env`` runs this. The stamp, which says what an environment was made for, is written last;
one that was interrupted, or made for something else, is made anew, in seconds from the caches.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from development.build_mmcv import CACHE, ROOT, SetupError, check_compiler

VENV, REQUIREMENTS = ROOT / '.venv', ROOT / 'requirements'
VENV_PYTHON, STAMP, LOG = VENV / 'bin/python', VENV / 'setup.stamp', VENV / 'setup.log'
VERSION = f'{sys.version_info[0]}.{sys.version_info[1]}'


def packages_key() -> str:
    """Return the key of the packages that are wanted, and of their bytecode."""
    paths = [*sorted(REQUIREMENTS.glob('*.txt')), *sorted(Path(__file__).parent.glob('*_*v.py'))]
    content = b''.join(path.read_bytes() for path in paths)
    return hashlib.sha256(f'{VERSION} {platform.machine()}'.encode() + content).hexdigest()


def check_machine(operators: str) -> None:
    """Raise `SetupError` where set-up would fail, before anything is downloaded."""
    if operators not in ('', 'cpu', 'cuda'):
        raise SetupError(f'MMVMLP_OPS is {operators!r}; accepted are cpu, cuda, or nothing')
    if not ((3, 10) <= sys.version_info[:2] <= (3, 12) and sys.maxsize > 2**32):
        raise SetupError(
            f'{sys.executable} is Python {platform.python_version()}; 64-bit Python 3.10, 3.11 or '
            '3.12 is needed. Name one:\n    make env PYTHON=python3.12'
        )
    if VENV.exists() and not STAMP.exists():
        raise SetupError(f'{VENV} was not made by `make env`; move it away, or `make clean-env`')
    if not list(CACHE.glob('wheels/*/*.whl')):
        check_compiler()


def run(*command: object, log: Path | None = None) -> None:
    """Run a command, with its output in a log where one is given; raise `SetupError` if it fails."""
    words = [str(word) for word in command]
    with open(log or os.devnull, 'a') as file:
        output = file if log else None
        # close_fds=False: it holds the lock of `make env`, which is thus not given up by a kill.
        code = subprocess.run(
            words, cwd=ROOT, stdout=output, stderr=output, close_fds=False
        ).returncode
    if code != 0:
        tail = log.read_text(errors='replace').splitlines()[-30:] if log else []
        raise SetupError('\n'.join([*tail, f'this command failed: {" ".join(words)}']))


def find_uv() -> Path:
    """Return the pinned uv of the cache, which is installed where it is missing."""
    version = re.findall(r'^uv==(\S+)', (REQUIREMENTS / 'uv.txt').read_text(), re.MULTILINE)[0]
    program = CACHE / f'uv-{version}-{platform.machine()}' / 'uv'
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            run(sys.executable, '-m', 'venv', folder)
            pip = (f'{folder}/bin/python', '-m', 'pip', 'install', '-q', '--only-binary=:all:')
            run(*pip, '--require-hashes', '-r', REQUIREMENTS / 'uv.txt')
            os.replace(f'{folder}/bin/uv', program)
    return program


def link(source: str, target: str) -> None:
    """Link a file, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def add_bytecode(site: Path, store: Path) -> None:
    """Compile all modules for all clones, or link what another clone has compiled.

    Where ``PYTHONDONTWRITEBYTECODE`` is set, as in many containers, Python does not keep it, and
    importing mmdetection takes four times as long.
    """
    if not store.exists():
        # By hash, because files that are copied from uv's cache have another time in each clone.
        flags = ('-q', '-j0', '-x/tests?/', '--invalidation-mode=checked-hash')
        run(VENV_PYTHON, '-m', 'compileall', *flags, site, log=LOG)
        store.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store.parent) as folder:
            for path in site.rglob('__pycache__'):
                new = Path(folder, 'new', path.relative_to(site))
                shutil.copytree(path, new, copy_function=link)
            os.replace(f'{folder}/new', store)
    shutil.copytree(store, site, copy_function=link, dirs_exist_ok=True)


def make_environment(operators: str) -> None:
    """Make ``.venv`` anew.

    Args:
        operators: What mmcv is compiled for: ``'cpu'``, ``'cuda'``, or '' for what torch sees.
    """
    removed = ROOT / '.venv.old'
    shutil.rmtree(removed, ignore_errors=True)
    if VENV.exists():
        VENV.rename(removed)
        shutil.rmtree(removed)
    VENV.mkdir()
    STAMP.touch()
    uv = find_uv()
    os.environ.update(MMVMLP_OPS=operators, PATH=f'{uv.parent}{os.pathsep}{os.environ["PATH"]}')
    site, store = VENV / f'lib/python{VERSION}/site-packages', CACHE / 'bytecode' / packages_key()
    install = (uv, 'pip', 'install', '--python', VENV_PYTHON, '--no-deps')
    print('[1/4] packages: 2 s from the cache, else 25 s and the download of 2 GB', flush=True)
    run(uv, 'venv', '-q', '--allow-existing', '--python', sys.executable, VENV)
    files = (f'-r{REQUIREMENTS / name}' for name in ('torch.txt', 'packages.txt'))
    run(*install, '--require-hashes', *files)
    if store.exists():
        add_bytecode(site, store)
    print('[2/4] mmcv: 5 s from the cache, else 2 min to compile', flush=True)
    run(VENV_PYTHON, '-m', 'development.build_mmcv', log=LOG)
    print('[3/4] bytecode: 1 s from the cache, else 20 s', flush=True)
    add_bytecode(site, store)
    print('[4/4] mmvmlp itself: 1 s', flush=True)
    run(*install, '-q', '--no-build-isolation', '-e', ROOT)


def main() -> None:
    """Return at once where the environment is complete, otherwise make it."""
    made_for, _, chosen = STAMP.read_text().partition(' ') if STAMP.exists() else ('', '', '')
    # A choice holds until there is another.
    operators = os.environ.get('MMVMLP_OPS') or chosen
    package = hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()
    key = f'{packages_key()}{package}'
    if (made_for, chosen) == (key, operators) and VENV_PYTHON.exists():
        return
    start = time.monotonic()
    check_machine(operators)
    make_environment(operators)
    STAMP.write_text(f'{key} {operators}')
    print(f'.venv is ready (Python {VERSION}, {time.monotonic() - start:.0f} s).')


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('interrupted; `make env` starts again')
