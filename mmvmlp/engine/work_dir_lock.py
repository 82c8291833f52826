"""A lock that keeps two trainings out of one work folder."""

import errno
import fcntl
import logging
import os
import socket
from pathlib import Path
from typing import IO

from mmengine.logging import print_log

LOCK_NAME = '.training.lock'

_HELD: dict[tuple[int, str], IO[str]] = {}
"""Open lock files by process and work folder; closing one unlocks it. Forked processes inherit this
table, but no locks."""


def lock_work_dir(work_dir: str) -> None:
    """Lock a work folder until this process ends or unlocks it.

    Args:
        work_dir: The folder; it must exist.

    Raises:
        OSError: If another process has locked it, with its number and machine.
    """
    work_dir = os.path.realpath(work_dir)
    if (os.getpid(), work_dir) in _HELD:
        return
    stream = (Path(work_dir) / LOCK_NAME).open('a+')
    try:
        # Record locks: unlike those of `flock`, worker processes that outlive the training do not
        # hold them.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            print_log(
                f'The file system of {work_dir!r} cannot lock files ({error.strerror}): see to it '
                'that no other training writes there.',
                logger='current',
                level=logging.WARNING,
            )
            return
        stream.seek(0)
        holder = stream.read().strip() or 'another process'
        raise OSError(
            f'work_dir={work_dir!r}: {holder} is training there; stop it, or choose another '
            'folder with --work-dir'
        ) from None
    stream.truncate(0)
    stream.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    stream.flush()
    _HELD[os.getpid(), work_dir] = stream


def unlock_work_dir(work_dir: str) -> None:
    """Unlock a work folder, if this process has locked it."""
    stream = _HELD.pop((os.getpid(), os.path.realpath(work_dir)), None)
    if stream is not None:
        stream.truncate(0)
        stream.close()
