"""Files of ``tools/``, called as a shell would, in this process: toolboxes are imported once."""

import runpy
import sys
from collections.abc import Callable

import pytest


def forget_earlier_runs() -> None:
    """Drop what mmengine keeps of a run, so that the next starts as in a process of its own.

    That is visualizers, default scopes, and loggers, which write to the streams of their test.
    """
    for module, name in (
        ('mmengine.visualization', 'Visualizer'),
        ('mmengine.registry', 'DefaultScope'),
        ('mmengine.logging', 'MMLogger'),
    ):
        if module in sys.modules:
            kinds = [getattr(sys.modules[module], name)]
            for kind in kinds:
                kind._instance_dict.clear()
                kinds += kind.__subclasses__()


def exit_status(monkeypatch: pytest.MonkeyPatch, file: str, *arguments: object) -> object:
    """Run a file with arguments, and return its exit status; pytest captures what it prints."""
    forget_earlier_runs()
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
