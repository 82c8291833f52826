"""Commands of a page of the documentation, pasted into a shell."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A line with those that continue it, or a line with the document that it writes.
COMMAND = re.compile(r"^.+<<'END'\n(?:.*\n)*?END$|^(?:.*\\\n)*.+$", re.MULTILINE)


def run_pasted(
    commands: str, folder: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """Run commands in a folder that looks like a checkout, and return all that they printed.

    What ``python tools/NAME.py`` starts runs in this process, where the toolboxes are imported
    already; a shell runs everything else.
    """
    for name in ('configs', 'demo', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    output = []
    for command in COMMAND.findall(commands):
        line = command.replace('\\\n', '')
        words = [] if '\n' in line else shlex.split(line, comments=True)
        if words[:1] == ['python']:
            output.append(run(*words[1:]))
        elif words[:1] == ['mmvmlp']:
            output.append(run(f'tools/{words[1].replace("-", "_")}.py', *words[2:]))
        else:
            output.append(_shell(command, folder))
    return ''.join(output)


def _shell(command: str, folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    result = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', command],
        cwd=folder,
        env={**os.environ, 'PATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout
