"""docs/own_backbone.md: its blocks, run in an empty folder with the installed wheel, all work."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from pasted import COMMAND, ROOT

PAGE = (ROOT / 'docs/own_backbone.md').read_text()
BLOCKS = re.findall(r'^```sh\n(.+?)^```$', PAGE, re.MULTILINE | re.DOTALL)
# A depth and a number of rounds that a test can afford, in the place of the page's.
SMALLER = {'(2, 2, 4, 2)': '(1, 1, 1, 1)', '--repetitions 5': '--repetitions 1'}
MADE = ['report.html', 'roll_mlp.onnx', 'official.pth', 'again.pth', 'inspected/inspection.json']
# An editable package is found through a .pth file, which PYTHONPATH alone does not read.
EDITABLE = 'import os, site\nsite.addsitedir(os.path.dirname(__file__))\n'
# One process imports the toolboxes once.
COMMANDS = """
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


def test_every_block_is_run():
    assert PAGE.count('```') == 2 * len(BLOCKS)


@pytest.mark.slow
def test_the_page_works_with_the_installed_wheel(installed_site, tmp_path):
    site, folder = tmp_path / 'site', tmp_path / 'empty'
    site.mkdir()
    folder.mkdir()
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

    def run(*arguments):
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, result.stdout[-6000:]
        return result.stdout

    # What is written comes first, since a process imports the network once.
    commands, pasted = [], '\n'.join(BLOCKS)
    for written, smaller in SMALLER.items():
        assert written in pasted
        pasted = pasted.replace(written, smaller)
    for command in COMMAND.findall(pasted):
        if '\n' in command and "<<'END'" in command:
            subprocess.run(['bash', '-euc', command], cwd=folder, check=True)
        else:
            commands.append(shlex.split(command.replace('\\\n', '')))
    assert commands[0] == ['pip', 'install', '-e', '.']
    run('-m', *commands[0])
    printed = run('-c', COMMANDS, str(ROOT / 'tests'), json.dumps(commands[1:]))
    assert f'mmvmlp is {installed_site}' in printed
    assert not re.search('^error: ', printed, re.MULTILINE)
    assert 'Epoch(train) [1][2/2]' in printed
    # The stem's patch, and two more along each axis.
    assert re.search('^stage 1, block 1 +12x12 ', printed, re.MULTILINE)
    assert all((folder / made).is_file() for made in MADE)
