"""Iterations that are logged in slow and in fast runs."""

from types import SimpleNamespace

import pytest

from mmvmlp.engine import timed_logger_hook
from mmvmlp.engine.timed_logger_hook import TimedLoggerHook

ITERATIONS = 60


class LoggedRun:
    """Stub of a runner whose iterations take some seconds."""

    timestamp = experiment_name = 'run'
    train_dataloader = val_dataloader = test_dataloader = range(ITERATIONS)

    def __init__(self, monkeypatch, seconds):
        self.lines, self.scalars, self.seconds, self.now, self.iter = [], [], seconds, 100.0, 0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(timed_logger_hook, 'time', clock)
        self.logger = SimpleNamespace(info=lambda line: None)
        self.log_processor = SimpleNamespace(get_log_after_iter=self.log)
        self.visualizer = SimpleNamespace(
            add_scalars=lambda tag, step, file_path: self.scalars.append(step)
        )

    def log(self, runner, batch_idx, mode):
        self.lines.append(batch_idx + 1)
        return {}, ''

    def go(self, hook, mode):
        hook.before_run(self)
        for self.iter in range(ITERATIONS):
            self.now += self.seconds
            getattr(hook, f'after_{mode}_iter')(self, self.iter, None, outputs=None)
        return self.lines


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
@pytest.mark.parametrize(
    ('seconds', 'lines'),
    [
        (0.1, [50]),
        (0.3, [34, 50]),
        (4.0, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 50, 53, 56, 59]),
        (13.0, list(range(1, ITERATIONS + 1))),
    ],
)
def test_a_line_at_least_every_ten_seconds(monkeypatch, mode, seconds, lines):
    hook = TimedLoggerHook(interval=50)
    run = LoggedRun(monkeypatch, seconds)
    assert run.go(hook, mode) == lines
    assert hook.interval == 50
    assert run.scalars == (lines if mode == 'train' else [])


def test_negative_silence_is_refused():
    with pytest.raises(ValueError, match='longest_silence=-1'):
        TimedLoggerHook(longest_silence=-1)
