"""Try random inputs, and count what becomes of them."""

from __future__ import annotations

import gc
import io
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from mmvmlp.cli.errors import one_clear_error

SECONDS = 60
"""Longest time for one input."""

MEMORY = 4 * 2**30
"""Most address space in bytes that one input may add to that of the process."""


class Target(Protocol):
    """What is tried with random inputs.

    Attributes:
        name: Phrase for the table.
        inputs: Random inputs.
    """

    name: str
    inputs: SearchStrategy[Any]

    def __init__(self, folder: Path) -> None:
        """Prepare, with an empty folder for files."""
        ...

    def attempt(self, value: Any) -> bool:
        """Try one input.

        Returns:
            True if it was accepted, False if it was refused with a clear error.

        Raises:
            Exception: Anything else.
        """
        ...


@dataclass
class Outcomes:
    """Numbers of inputs by outcome, and the unexpected ones.

    Attributes:
        accepted: Inputs that worked.
        refused: Inputs that ended in one clear error.
        unexpected: Descriptions of inputs that ended in anything else.
    """

    accepted: int = 0
    refused: int = 0
    unexpected: list[str] = field(default_factory=list)


def try_inputs(target: Target, count: int, number: int = 0, stop: bool = False) -> Outcomes:
    """Try random inputs.

    Args:
        target: What to try.
        count: Number of inputs.
        number: Seed of the inputs.
        stop: True to raise the first unexpected error, for the smallest input that causes it.
    """
    outcomes = Outcomes()
    # What is loaded stays; the toolboxes collect garbage for every data set.
    gc.collect()
    gc.freeze()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if stop else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def attempt(value: Any) -> None:
        try:
            with limits():
                accepted = target.attempt(value)
        except BaseException as error:
            if stop or isinstance(error, KeyboardInterrupt):
                raise
            outcomes.unexpected.append(_description(value, error))
        else:
            outcomes.accepted += accepted
            outcomes.refused += not accepted

    try:
        attempt()
    finally:
        gc.unfreeze()
    return outcomes


def _description(value: Any, error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-3:]
    where = ' < '.join(f'{Path(frame.filename).name}:{frame.lineno}' for frame in reversed(last))
    return f'{type(error).__name__}: {str(error)[:300]} [{where}] for {repr(value)[:300]}'


@contextmanager
def limits() -> Iterator[None]:
    """Raise an error where the time or the memory of one input is spent."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f'it took longer than {SECONDS} s')

    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def accepted(call: Callable[[], int | None]) -> bool:
    """Call what must work or end in one clear error.

    Args:
        call: A command's ``main``, or any function without a result.

    Returns:
        Whether it worked.

    Raises:
        AssertionError: If it exits with an error that is not one clear message.
        Exception: Anything that is not a clear error.
    """
    output, errors = io.StringIO(), io.StringIO()
    status: Any
    try:
        with redirect_stdout(output), redirect_stderr(errors), one_clear_error():
            status = call()
    except SystemExit as exited:
        status = exited.code
    if status != 1:
        assert status in (None, 0), f'exit status {status!r}: {errors.getvalue()[-300:]}'
        return True
    message = errors.getvalue() + output.getvalue()
    assert 'error: ' in message, f'no error is named: {message[-300:]}'
    assert 'Traceback' not in message, message[-600:]
    return False
