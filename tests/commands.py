"""Python as a shell would call it, in this process: toolboxes are imported once."""

import argparse
import gc
import multiprocessing
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
    _end_workers()


def _end_workers() -> None:
    """End processes that load data, as the end of their program would.

    Collected as garbage, a loader waits five seconds for each: the queue that tells it to end is
    closed before.
    """
    if multiprocessing.active_children() and 'torch.utils.data.dataloader' in sys.modules:
        loader = sys.modules['torch.utils.data.dataloader']
        for thing in gc.get_objects():
            if type(thing) is loader._MultiProcessingDataLoaderIter:
                thing._shutdown_workers()


def exit_status(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: object) -> object:
    """Run what follows ``python`` in a shell, and return the exit status.

    That is a file, ``-m`` with a module or ``-c`` with code, and arguments; pytest captures what it
    prints.
    """
    forget_earlier_runs()
    monkeypatch.setattr('sys.argv', [program, *map(str, arguments)])
    try:
        if program == '-m':
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
        elif program == '-c':
            exec(sys.argv.pop(1), {'__name__': '__main__'})
        else:
            runpy.run_path(program, run_name='__main__')
    except SystemExit as ended:
        return ended.code or 0
    return 0


def runner_of_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return what runs a program to its end, and returns all that it printed, errors included."""

    def run(program: str, *arguments: object, expect: int = 0) -> str:
        capfd.readouterr()
        status = exit_status(monkeypatch, program, *arguments)
        printed = ''.join(capfd.readouterr())
        assert status == expect, printed[-6000:]
        return printed

    return run


class _ParsedError(BaseException):
    """Nothing catches it, for programs report errors of other kinds."""


def parse_arguments(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> None:
    """Start a program of ours, see :func:`exit_status`, and stop it once its arguments are read."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *given: object) -> None:
        parse(parser, *given)
        raise _ParsedError

    with monkeypatch.context() as patches:
        patches.setattr(argparse.ArgumentParser, 'parse_args', parse_and_stop)
        try:
            status = exit_status(patches, program, *arguments)
        except _ParsedError:
            return
    raise AssertionError(f'{program} {arguments} ended with {status} before it read its arguments')
