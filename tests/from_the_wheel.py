"""Commands of a page, run in an empty folder where only the wheel is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pages import ROOT
from pasted import commands_of, words_of

# One process imports the toolboxes once.
PROGRAM = """
import json, runpy, sys
tests, commands = sys.argv[1:]
sys.path += [tests, '.']
import mmvmlp
from commands import forget_earlier_runs
from mmvmlp.cli import main
print('mmvmlp is', mmvmlp.__file__)
for program, *words in json.loads(commands):
    forget_earlier_runs()
    print('$', program, *words, flush=True)
    if program == 'python':
        sys.argv = words
        runpy.run_path(words[0], run_name='__main__')
    elif main(words):
        sys.exit('failed')
"""
# An editable package is found through a .pth file, which PYTHONPATH alone does not read.
EDITABLE = 'import os, site\nsite.addsitedir(os.path.dirname(__file__))\n'


def run_from_the_wheel(pasted: str, installed_site: Path, folder: Path) -> str:
    """Run what a reader pastes in order, and return all that it printed.

    What is written comes first, since a process imports a network once; then what is installed.
    """
    site, empty = folder / 'site', folder / 'empty'
    site.mkdir()
    empty.mkdir()
    (site / 'sitecustomize.py').write_text(EDITABLE)
    environment = {
        **os.environ,
        'PATH': os.pathsep.join([str(installed_site / 'bin'), os.environ['PATH']]),
        'PYTHONPATH': f'{site}{os.pathsep}{installed_site}',
        'PIP_TARGET': str(site),
        'PIP_NO_DEPS': '1',
        'PIP_NO_INDEX': '1',
        # Spelled so, it means no isolation.
        'PIP_NO_BUILD_ISOLATION': '0',
    }

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=empty,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, result.stdout[-6000:]
        return result.stdout

    commands = []
    for command in commands_of(pasted):
        if command.startswith(('mmvmlp', 'python', 'pip')):
            commands.append(words_of(command))
        else:
            subprocess.run(['bash', '-euc', command], cwd=empty, check=True)
    for command in [command for command in commands if command[0] == 'pip']:
        run('-m', *command)
        commands.remove(command)
    printed = run('-c', PROGRAM, str(ROOT / 'tests'), json.dumps(commands))
    assert f'mmvmlp is {installed_site}' in printed
    return printed
