"""Write files atomically, and check beforehand that they can be written."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

INCOMPLETE = '.*.incomplete'
"""Pattern of the temporary names; a process that is killed leaves its file behind."""


def write_atomically(file: Path, *contents: bytes | memoryview, synced: bool = False) -> None:
    """Write a file under a temporary name in the same folder, then rename it.

    Args:
        file: The file; its folder must exist. An existing file is replaced.
        *contents: Its contents, in parts.
        synced: True to wait until file and name are on the disk, so that they survive a crash of
            the machine.

    Raises:
        OSError: If the file cannot be written.
    """
    # Not tempfile, whose files are readable by their owner only.
    temporary = file.with_name(f'.{secrets.token_hex(8)}.incomplete')
    try:
        with temporary.open('xb') as stream:
            stream.writelines(contents)
            if synced:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(file)
        if synced:
            _sync_folder(file.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise type(error)(f'file {str(file)!r} cannot be written: {error.strerror}') from error
        raise


def _sync_folder(folder: Path) -> None:
    # Some network file systems cannot; the file itself is synced.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_file_can_be_written(file: Path, setting: str) -> None:
    """Check that a file can be written, before computing its contents.

    Args:
        file: The file; it may exist, and its folder may be missing.
        setting: Name of the setting, for errors.

    Raises:
        OSError: If the file cannot be written, or exists and is not a file.
    """
    if file.is_file():
        check_folder_can_be_written(file.parent, setting)
    elif os.path.lexists(file):
        raise OSError(f'{setting} {str(file)!r} exists and is not a file')
    else:
        # Where a folder can be created, a file can be too.
        check_folder_can_be_written(file, setting)


def check_folder_can_be_written(folder: str | Path, setting: str) -> None:
    """Check that files can be written into a folder, without creating it.

    Args:
        folder: The folder; it and its parents may be missing.
        setting: Name of the setting, for errors.

    Raises:
        OSError: If a file is in the way, or the folder is not writable.
        ValueError: If the name is empty.
    """
    if not str(folder):
        raise ValueError(f"{setting} '': a folder name is accepted")
    wanted = existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise NotADirectoryError(f'{setting} {str(folder)!r}: {existing!r} is not a folder')
    try:
        # Checking permissions is not enough: file systems may be read-only or limit names.
        with tempfile.TemporaryDirectory(dir=existing, prefix='.') as trial:
            os.makedirs(os.path.join(trial, os.path.relpath(wanted, existing)), exist_ok=True)
    except OSError as error:
        raise type(error)(
            f'{setting} {str(folder)!r} cannot be written in {existing!r} ({error.strerror})'
        ) from error
