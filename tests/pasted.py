"""Commands of a page of the documentation, pasted into a shell."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import parse_arguments
from pages import ROOT

# Words before a command that set variables for it alone.
VARIABLE = re.compile(r'(\w+)=(.*)', re.DOTALL)
# What each starts is in tools/, and how many words of theirs come before its options.
LAUNCHERS = {'tools/dist_train.sh': ('train.py', 1), 'tools/dist_test.sh': ('test.py', 2)}

# It lists what it would do.
DRY_RUN = f'make() {{ command make --dry-run --directory {ROOT} "$@"; }}'

# In a process of its own: torch.compile fails where pip was imported, with which setuptools leaves
# distutils alone.
PARSE_PIP = (
    'import sys; from pip._internal.commands import create_command; name, *words = sys.argv[1:]; '
    'print(*create_command(name).parse_args(words)[1], sep="\\n")'
)


def packages_of(words: list[str]) -> list[str]:
    """Return what a command of pip would install, as pip reads its arguments."""
    result = subprocess.run(
        [sys.executable, '-c', PARSE_PIP, *words], capture_output=True, text=True
    )
    assert result.returncode == 0, f'{words}\n{result.stderr}'
    return result.stdout.splitlines()


def commands_of(pasted: str) -> Iterator[str]:
    """Split what is pasted: a line, with those that the shell reads before it runs anything."""
    command = ''
    for line in pasted.splitlines(keepends=True):
        command += line
        complaint = subprocess.run(['bash', '-nc', command], capture_output=True).stderr
        if not complaint and not line.endswith('\\\n'):
            yield command
            command = ''
    assert not command, command


def words_of(command: str) -> list[str]:
    """Return the words of a command as the shell expands them here, without its comment."""
    result = _bash(f"printf '%s\\0' {command}")
    return result.split('\0')[:-1]


def _bash(command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    result = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', command],
        env={**os.environ, 'PATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, f'{command}\n{result.stdout[-6000:]}'
    return result.stdout


class Terminal:
    """A shell in a folder that looks like a checkout.

    Our programs run in this process, where the toolboxes are imported already.
    """

    def __init__(
        self, folder: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run = run
        self.monkeypatch = monkeypatch
        # Copies, since commands may write there.
        for name in ('configs', 'demo', 'tools'):
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        monkeypatch.chdir(folder)

    def paste(self, pasted: str) -> str:
        """Run commands, and return all that they printed."""
        return ''.join(map(self.run_command, commands_of(pasted)))

    def run_command(self, command: str) -> str:
        """Run a command, and return what it printed."""
        program = self._program(command)
        if program not in ('python', 'mmvmlp'):
            return self._run_in_shell(command)
        variables, words = self._words(command)
        with self.monkeypatch.context() as patches:
            for name, value in variables.items():
                patches.setenv(name, value)
            return self.run(*words)

    def parse_command(self, command: str) -> None:
        """Let the program of a command read its arguments, and do nothing with them."""
        program = self._program(command)
        if program in ('make', 'export'):
            _bash(f'{DRY_RUN}\n{command}')
        elif program == 'pip':
            project = (ROOT / 'pyproject.toml').read_text()
            listed = project.partition('[project.optional-dependencies]')[2].partition('\n[')[0]
            extras = set(re.findall(r'^(\w+) = \[', listed, re.MULTILINE))
            for package in packages_of(words_of(command)[1:]):
                wanted = re.findall(r'^(?:mmvmlp|\.)\[(.+)\]$', package)
                assert set(wanted) <= extras, command
        elif program in ('python', 'mmvmlp', *LAUNCHERS):
            _, words = self._words(command)
            for word in words:
                # What there is in the repository.
                file = word.replace('mmvmlp::', 'configs/').partition(':')[0]
                if file.startswith(('configs/', 'demo/', 'tests/', 'tools/')):
                    assert (ROOT / file).exists(), f'{command}\n{word}'
            if words[:2] != ['-m', 'pytest']:
                parse_arguments(self.monkeypatch, *words)

    def _run_in_shell(self, command: str) -> str:
        result = _bash(f'{command}\nprintf "\\0"; env --null')
        printed, *variables = result.split('\0')
        for name, _, value in (variable.partition('=') for variable in variables):
            if command.startswith('export ') and f' {name}=' in command:
                self.monkeypatch.setenv(name, value)
        return printed

    @staticmethod
    def _program(command: str) -> str:
        for word in command.split():
            if not VARIABLE.fullmatch(word):
                return word
        return ''

    @staticmethod
    def _words(command: str) -> tuple[dict[str, str], list[str]]:
        """Return a command's variables, and what follows ``python`` to start what it starts."""
        words = words_of(command)
        variables = {}
        while match := VARIABLE.fullmatch(words[0]):
            variables[match[1]] = match[2]
            del words[0]
        program, *words = words
        if program == 'mmvmlp':
            words[0] = f'tools/{words[0].replace("-", "_")}.py'
        elif program in LAUNCHERS:
            file, number = LAUNCHERS[program]
            assert words[number].isdigit(), f'{command}\n{words[number]}'
            words = [f'tools/{file}', *words[:number], *words[number + 1 :]]
        return variables, words
