"""What libjpeg says about damaged files, for the image that it says it about.

OpenCV lets libjpeg write to the standard error of the process, without the file's name. That output
is redirected while images are decoded, in as many threads as there are: an image during whose
decoding something was written is decoded once more, alone. On Linux only: elsewhere libjpeg's lines
stay as they are.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar('Result')

STDERR = 2
CLOSED = -1

WARNING = re.compile(
    rb'^(?:Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid).*\n?', re.M
)


def catch_decoder_warnings(decode: Callable[[], Result]) -> tuple[Result, str | None]:
    """Run a function that decodes an image.

    Args:
        decode: The function; it may be called twice.

    Returns:
        Its result, and the first thing that libjpeg said about damage, if it did.
    """
    result, said = _OUTPUT.catch(decode, alone=False)
    if said is not None:
        # It may be about another thread's image.
        result, said = _OUTPUT.catch(decode, alone=True)
    return result, said


class _RedirectedOutput:
    """Standard error, redirected to a file as long as any thread decodes."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.waiting_to_be_alone = 0
        self.saved = self.file = CLOSED

    def catch(self, decode: Callable[[], Result], alone: bool) -> tuple[Result, str | None]:
        with self.changed:
            if alone:
                self.waiting_to_be_alone += 1
                self.changed.wait_for(lambda: not self.inside)
            else:
                self.changed.wait_for(lambda: not self.waiting_to_be_alone)
            if not self.inside:
                self._redirect()
            self.inside += 1
            start = self._size()
        try:
            result = decode()
        finally:
            with self.changed:
                written = self._written_since(start)
                self.inside -= 1
                if not self.inside:
                    self._restore()
                if alone:
                    self.waiting_to_be_alone -= 1
                self.changed.notify_all()
        found = WARNING.search(written)
        return result, found.group().decode(errors='replace').strip() if found else None

    def _redirect(self) -> None:
        if not hasattr(os, 'memfd_create'):
            return
        try:
            self.saved = os.dup(STDERR)
        except OSError:
            # A service may have closed it.
            return
        # In memory: a file on the disk takes as long as decoding.
        self.file = os.memfd_create('decoder')
        os.dup2(self.file, STDERR)

    def _restore(self) -> None:
        if self.file == CLOSED:
            return
        written = self._written_since(0)
        os.dup2(self.saved, STDERR)
        os.close(self.saved)
        os.close(self.file)
        self.saved = self.file = CLOSED
        # What others wrote meanwhile.
        if others := WARNING.sub(b'', written):
            os.write(STDERR, others)

    def _size(self) -> int:
        return 0 if self.file == CLOSED else os.fstat(self.file).st_size

    def _written_since(self, start: int) -> bytes:
        # Not with a large buffer, which would cost the image its place in memory.
        length = self._size() - start
        return os.pread(self.file, length, start) if length else b''


_OUTPUT = _RedirectedOutput()
