"""``mmvmlp COMMAND``: every command is listed, starts, and has its script in ``tools/``."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmvmlp.cli import COMMANDS, main

MODULES = {path.stem for path in Path('mmvmlp/cli').glob('*.py')}
SHARED = {'__init__', 'arguments', 'errors', 'short_log'}


def test_every_module_is_a_command_with_a_script():
    commands = {name.replace('-', '_') for name in COMMANDS}
    # The shell scripts start it; nobody types it.
    assert commands | {'torchrun'} == MODULES - SHARED
    assert all(Path(f'tools/{name}.py').is_file() for name in MODULES - SHARED)


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_shows_its_own_help(command, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['mmvmlp'])
    with pytest.raises(SystemExit) as ended:
        main([command, '--help'])
    assert ended.value.code == 0
    assert f'usage: mmvmlp {command}' in capsys.readouterr().out


def test_unknown_commands_are_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['trian'])
    assert ended.value.code == 2
    listed = capsys.readouterr().err
    assert all(name in listed for name in COMMANDS)


def test_help_imports_no_library():
    program = (
        'import sys; sys.argv[1:] = ["--help"]\n'
        'from mmvmlp.cli import main\n'
        'try:\n    main()\n'
        'except SystemExit:\n    print(sorted({"torch", "mmengine", "numpy"} & set(sys.modules)))'
    )
    shown = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'train' in shown.stdout
    assert shown.stdout.splitlines()[-1] == '[]'
