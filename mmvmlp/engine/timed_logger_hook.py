"""Logging at a minimum rate, also for slow iterations."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.hooks import LoggerHook

from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class TimedLoggerHook(LoggerHook):
    """Logs every ``interval`` iterations, and whenever the last line is too old.

    Args:
        longest_silence: Seconds since the last line after which the next iteration is logged.
        **options: Options of mmengine's ``LoggerHook``.

    Raises:
        ValueError: If ``longest_silence`` is negative.
    """

    def __init__(self, longest_silence: float = 10.0, **options: Any) -> None:
        if longest_silence < 0:
            raise ValueError(f'longest_silence={longest_silence!r}: at least 0 is accepted')
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
        """Set the interval to 1 for an iteration if the last line is too old."""
        interval, now = self.interval, time.monotonic()
        if now - self.last_line >= self.longest_silence:
            self.interval = 1
        if self.every_n_inner_iters(batch_idx, self.interval):
            self.last_line = now
        try:
            yield
        finally:
            self.interval = interval
