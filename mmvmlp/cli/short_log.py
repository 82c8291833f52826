"""Short logs on the terminal, while the log file keeps everything."""

from __future__ import annotations

import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, TextIO

from mmengine.logging import MMLogger, print_log

DEPENDENCIES = {'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'mmseg', 'pycocotools'}
"""Packages whose messages are in the log file only, unless a run is known by them."""

PROGRESS = {'after_train_iter', 'after_val_iter', 'after_test_iter'}
RESULTS = {'after_val_epoch', 'after_test_epoch'}
"""Methods of mmengine's ``LoggerHook``."""

IMPORTANT = re.compile(
    'Log file|Saving checkpoint|The best checkpoint|Load checkpoint|resumed|Auto resumed|LR is set'
    '|the monitored metric'
)
"""Beginnings of the messages of dependencies that are shown besides."""

FALSE_WARNINGS = re.compile(
    '|'.join(
        (
            'faster_coco_eval is not installed',
            'Could not import OneDL',
            '"FileClient" will be deprecated',
            '"HardDiskBackend" is the alias',
            'torch.meshgrid: in an upcoming release',
            'Default ``avg_non_ignore`` is False',
            'The draw is False, it means',
            'The prefix is not set in metric class',
            'Multi-processing start method `',
            'Setting OMP_NUM_THREADS environment variable',
            "'pin_memory' argument is set as true but no accelerator",
        )
    )
)
"""Warnings that nothing follows from: packages that are not used, and code of dependencies."""


class _HeldRecords(logging.Handler):
    """Keeps what is logged before there is a log file."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def pass_on(self, files: list[logging.Handler]) -> None:
        """Write them into the log file, and forget them."""
        for record in self.records:
            for file in files:
                file.handle(record)
        self.records.clear()


class _Selection:
    """Selects what the terminal shows.

    Lines of progress come every ten seconds at first, and ever more rarely: a fifth of the time
    since the beginning lies between two, and at most two minutes.
    """

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.last_progress = -float('inf')

    def __call__(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            return not FALSE_WARNINGS.search(message)
        module = _calling_module()
        if module.partition('.')[0] not in DEPENDENCIES:
            return True
        if module == 'mmengine.hooks.logger_hook':
            if record.funcName in PROGRESS:
                return not message.startswith('Exp name') and self._is_due()
            if record.funcName in RESULTS:
                return True
        return bool(IMPORTANT.match(message))

    def _is_due(self) -> bool:
        now = time.monotonic()
        pause = min(max((now - self.start) / 5, 10.0), 120.0)
        if now - self.last_progress < pause:
            return False
        self.last_progress = now
        return True


class _OutputOfOthers:
    """Standard output, except for what dependencies print, which is logged line by line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.line = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write the text, or log its lines."""
        printer = sys._getframe(1).f_globals.get('__name__', '')
        # The latter prints what has no logger.
        if not printer.startswith(('pycocotools.', 'mmengine.logging.')):
            return self.stream.write(text)
        *lines, self.line = (self.line + text).split('\n')
        for line in lines:
            print_log(line, logger='current')
        return len(text)


class _WithoutFalseWarnings:
    """Standard output, except for the prints among the false warnings."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.left_out = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write the text; ``print`` ends a line by a call of its own."""
        end_of_left_out = self.left_out and text == '\n'
        self.left_out = bool(FALSE_WARNINGS.search(text))
        return len(text) if end_of_left_out or self.left_out else self.stream.write(text)


def _calling_module() -> str:
    """Return the module that logs or prints, also if through ``print_log``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module: str = frame.f_globals.get('__name__', '')
        if module not in ('logging', 'mmengine.logging.logger', __name__):
            return module
        frame = frame.f_back
    return ''


@contextmanager
def short_log() -> Iterator[None]:
    """Shorten what runs print: progress, results, checkpoints and warnings that matter.

    The log file also has the environment, the config, initialisation, tables of metrics and all
    warnings, in the order in which they came, including those from before there was a log file.
    """
    selection, held = _Selection(), _HeldRecords()
    original = MMLogger.__init__

    def build_logger(logger: Any, *arguments: Any, **options: Any) -> None:
        original(logger, *arguments, **options)
        terminal, *files = logger.handlers
        terminal.addFilter(selection)
        if options.get('log_file') is None:
            logger.addHandler(held)
        else:
            held.pass_on(files)
            print_log(f'Log file: {options["log_file"]}', logger=logger)

    def log_warning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f'{category.__name__}: {message} ({filename}, line {lineno})'
        print_log(text, logger='current', level=logging.WARNING)

    MMLogger.__init__ = build_logger
    try:
        with warnings.catch_warnings():
            warnings.showwarning = log_warning
            with redirect_stdout(_OutputOfOthers(sys.stdout)):
                yield
    finally:
        MMLogger.__init__ = original


@contextmanager
def without_false_warnings() -> Iterator[None]:
    """Leave out warnings that nothing follows from, for commands without a log file."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message=FALSE_WARNINGS.pattern)
        with redirect_stdout(_WithoutFalseWarnings(sys.stdout)):
            yield
