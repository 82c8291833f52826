"""Writing files that are whole or not there."""

import os
import tempfile
from pathlib import Path


def write_whole_file(file: Path, contents: bytes) -> None:
    """Write a file under a temporary name beside its place, and rename it when it is complete.

    Args:
        file: What to write; its folder must exist. What is there is replaced.
        contents: All of it.
    """
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f'.{file.name}.')
    try:
        with os.fdopen(handle, 'wb') as stream:
            stream.write(contents)
        # mkstemp's files are for their owner alone; these are to be as any other file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
