"""A log that goes on where iterations are slow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.hooks import LoggerHook

from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class TimedLoggerHook(LoggerHook):
    """Logs every ``interval`` iterations, and whenever the last line is some seconds old.

    Args:
        longest_silence: So many seconds after the last line the next iteration is logged.
        **options: Of mmengine's ``LoggerHook``.

    Raises:
        ValueError: If ``longest_silence`` is negative.
    """

    def __init__(self, longest_silence: float = 10.0, **options: Any) -> None:
        if longest_silence < 0:
            raise ValueError(f'longest_silence={longest_silence!r}: 0 and more are accepted')
        super().__init__(**options)
        self.interval: int
        self.longest_silence = longest_silence
        self.last_line = time.monotonic()

    def before_run(self, runner: Any) -> None:
        super().before_run(runner)
        self.last_line = time.monotonic()

    def after_train_iter(self, runner: Any, batch_idx: int, *batch: Any, **named: Any) -> None:
        with self._interval_that_breaks_silence(batch_idx):
            super().after_train_iter(runner, batch_idx, *batch, **named)

    def after_val_iter(self, runner: Any, batch_idx: int, *batch: Any, **named: Any) -> None:
        with self._interval_that_breaks_silence(batch_idx):
            super().after_val_iter(runner, batch_idx, *batch, **named)

    def after_test_iter(self, runner: Any, batch_idx: int, *batch: Any, **named: Any) -> None:
        with self._interval_that_breaks_silence(batch_idx):
            super().after_test_iter(runner, batch_idx, *batch, **named)

    @contextmanager
    def _interval_that_breaks_silence(self, batch_idx: int) -> Iterator[None]:
        """Let the next iteration be logged if it is time, by the hook's own way of logging."""
        interval, now = self.interval, time.monotonic()
        if now - self.last_line >= self.longest_silence:
            self.interval = 1
        if self.every_n_inner_iters(batch_idx, self.interval):
            self.last_line = now
        try:
            yield
        finally:
            self.interval = interval
