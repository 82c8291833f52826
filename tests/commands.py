"""Files of ``tools/``, called as a shell would, in this process: toolboxes are imported once."""

import runpy
import sys
from collections.abc import Callable

import pytest


def forget_visualizers() -> None:
    """Let the next command find its own visualizer only, as it would in a process of its own."""
    if visualization := sys.modules.get('mmengine.visualization'):
        kinds = [visualization.Visualizer]
        for kind in kinds:
            kind._instance_dict.clear()
            kinds += kind.__subclasses__()


def exit_status(monkeypatch: pytest.MonkeyPatch, file: str, *arguments: object) -> object:
    """Run a file with arguments, and return its exit status; pytest captures what it prints."""
    forget_visualizers()
    monkeypatch.setattr('sys.argv', [file, *map(str, arguments)])
    try:
        runpy.run_path(file, run_name='__main__')
    except SystemExit as ended:
        return ended.code or 0
    return 0


def runner_of_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return what runs a file to its end, and returns all that it printed, errors included."""

    def run(file: str, *arguments: object, expect: int = 0) -> str:
        capfd.readouterr()
        status = exit_status(monkeypatch, file, *arguments)
        printed = ''.join(capfd.readouterr())
        assert status == expect, printed[-6000:]
        return printed

    return run
