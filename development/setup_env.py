"""Set up ``.venv``: the packages of ``requirements/``, with mmcv compiled for their torch.

The stamp, which says what an environment was made for, is written last. One that was interrupted,
or made for something else, is made anew.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from sysconfig import get_python_version

from development.build_mmcv import CACHE, ROOT, check_compiler

VENV, REQUIREMENTS = ROOT / '.venv', ROOT / 'requirements'
VENV_PYTHON, STAMP, LOG = VENV / 'bin/python', VENV / 'setup.stamp', VENV / 'setup.log'
LOCKS = sorted(REQUIREMENTS.glob('*.txt'))
PROGRAMS = (Path(__file__), ROOT / 'development/build_mmcv.py', ROOT / 'pyproject.toml')


def content_key(*paths: Path) -> str:
    """Return a hash of the Python, the machine, and what files hold."""
    content = b''.join(path.read_bytes() for path in paths)
    return hashlib.sha256(
        f'{get_python_version()} {platform.machine()}'.encode() + content
    ).hexdigest()[:32]


def run(*command: object, log: bool = False) -> None:
    """Run a command, with its output on the terminal or in the log."""
    words = [str(word) for word in command]
    with open(LOG if log else os.devnull, 'a') as file:
        output = file if log else None
        # close_fds=False: it holds the lock of `make env`, should this process be killed.
        done = subprocess.run(words, cwd=ROOT, stdout=output, stderr=output, close_fds=False)
    if done.returncode != 0:
        tail = LOG.read_text(errors='replace').splitlines()[-30:] if log else []
        sys.exit('\n'.join([f'error: this failed: {" ".join(words)}', *tail]))


def find_uv() -> Path:
    """Return the pinned uv of the cache, which is installed where it is missing."""
    version = re.findall(r'^uv==(\S+)', (REQUIREMENTS / 'uv.txt').read_text(), re.MULTILINE)[0]
    program = CACHE / f'uv-{version}-{platform.machine()}/uv'
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            run(sys.executable, '-m', 'venv', folder)
            pip = (f'{folder}/bin/python', '-m', 'pip', 'install', '-q', '--only-binary=:all:')
            run(*pip, '--require-hashes', '-r', REQUIREMENTS / 'uv.txt')
            os.replace(f'{folder}/bin/uv', program)
    return program


def compile_bytecode(site: Path, store: Path) -> None:
    """Compile all modules, ``PYTHONDONTWRITEBYTECODE`` or not, and keep that for other clones."""
    # By hash: the same module may have another modification time in each clone.
    flags = ('-q', '-j0', '-x/tests?/', '--invalidation-mode=checked-hash')
    run(VENV_PYTHON, '-m', 'compileall', *flags, site, log=True)
    store.parent.mkdir(parents=True, exist_ok=True)
    pack = 'cd "$0" && find . -name "*.pyc" | tar -cf "$1.$$" -T - && mv "$1.$$" "$1"'
    run('sh', '-c', pack, site, store, log=True)


def make_environment() -> None:
    """Make ``.venv`` anew, but for its stamp."""
    uv = find_uv()
    os.environ['PATH'] = f'{uv.parent}{os.pathsep}{os.environ["PATH"]}'
    run(uv, 'venv', '-q', '--allow-existing', '--python', sys.executable, VENV)
    install = (uv, 'pip', 'install', '--python', VENV_PYTHON, '--no-deps')
    print('[1/3] packages: 2 s from the cache, else 30 s and a download of 2 GB', flush=True)
    torch, packages = REQUIREMENTS / 'torch.txt', REQUIREMENTS / 'packages.txt'
    run(*install, '--require-hashes', '-r', torch, '-r', packages, '--build-constraints', packages)
    site = VENV / f'lib/python{get_python_version()}/site-packages'
    store = CACHE / 'bytecode' / f'{content_key(*LOCKS)}.tar'
    if store.exists():
        run('tar', '-xf', store, '-C', site)
    print('[2/3] mmcv: 5 s from the cache, else 2 min to compile', flush=True)
    run(VENV_PYTHON, '-m', 'development.build_mmcv', log=True)
    print('[3/3] bytecode and mmvmlp: 2 s from the cache, else 20 s', flush=True)
    if not store.exists():
        compile_bytecode(site, store)
    run(*install, '-q', '--no-build-isolation', '-e', ROOT)


def main() -> None:
    """Return at once where the environment is complete, otherwise make it."""
    stamp = STAMP.read_text() if STAMP.exists() else ''
    # A choice holds until another is made.
    choice = os.environ.get('MMVMLP_OPS') or stamp.partition(' ')[0] or 'auto'
    wanted = f'{choice} {content_key(*PROGRAMS, *LOCKS)} {ROOT}'
    if stamp == wanted and VENV_PYTHON.exists():
        return
    if choice not in ('auto', 'cpu', 'cuda'):
        sys.exit(f'error: MMVMLP_OPS is {choice!r}; accepted are auto, cpu and cuda')
    if VENV.exists() and not (STAMP.exists() or LOG.exists()):
        sys.exit(f'error: {VENV} was not made by `make env`; move it away, or `make clean-env`')
    if not list(CACHE.glob('wheels/*/*.whl')):
        check_compiler()
    shutil.rmtree(ROOT / '.venv.old', ignore_errors=True)
    if VENV.exists():
        shutil.rmtree(VENV.rename(ROOT / '.venv.old'))
    VENV.mkdir()
    STAMP.write_text(f'{choice} incomplete')
    os.environ['MMVMLP_OPS'] = choice
    make_environment()
    STAMP.write_text(wanted)


if __name__ == '__main__':
    main()
