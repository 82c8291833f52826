"""Writing files that are whole or not there."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(file: Path, contents: bytes) -> None:
    """Write a file under a temporary name beside its place, and rename it when it is complete.

    Args:
        file: What to write; its folder must exist. What is there is replaced.
        contents: All of it.

    Raises:
        OSError: With the file's name, if it cannot be written.
    """
    # Opened as any other file is, so that it gets the same permissions; tempfile's are for their
    # owner alone.
    temporary = file.with_name(f'.{secrets.token_hex(8)}.incomplete')
    try:
        with temporary.open('xb') as stream:
            stream.write(contents)
        temporary.replace(file)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise type(error)(f'file {str(file)!r} cannot be written: {error.strerror}') from error
        raise


def check_file_can_be_written(file: Path, setting: str) -> None:
    """Look whether a file can be written, before the work whose result it is to hold.

    Args:
        file: It may be there, to be replaced; its folder may be missing.
        setting: What names the file, for the message.

    Raises:
        OSError: If something else is there, or nothing can be written there.
    """
    if file.is_file():
        check_folder_can_be_written(file.parent, setting)
    elif os.path.lexists(file):
        raise OSError(f'{setting} {str(file)!r} is there and is not a file')
    else:
        # A folder could be made where a file can.
        check_folder_can_be_written(file, setting)


def check_folder_can_be_written(folder: str | Path, setting: str) -> None:
    """Look whether files can be written into a folder, without making it.

    Args:
        folder: It may be missing, and the folders that it is in.
        setting: What names the folder, for the message.

    Raises:
        OSError: If a file is in the way, or nothing can be written there.
        ValueError: If the name is empty.
    """
    if not str(folder):
        raise ValueError(f"{setting} '': the name of a folder is accepted")
    wanted = existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise NotADirectoryError(f'{setting} {str(folder)!r}: {existing!r} is not a folder')
    try:
        # Permissions alone do not tell: a file system may be read-only, or limit names.
        with tempfile.TemporaryDirectory(dir=existing, prefix='.') as trial:
            os.makedirs(os.path.join(trial, os.path.relpath(wanted, existing)), exist_ok=True)
    except OSError as error:
        raise type(error)(
            f'{setting} {str(folder)!r}: it cannot be written in {existing!r} ({error.strerror})'
        ) from error
