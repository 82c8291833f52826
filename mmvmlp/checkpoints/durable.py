"""Checkpoint files that survive a crash: written whole, sealed by their hash, and found again.

mmengine writes checkpoints in place, without a check value of the whole file.
"""

import hashlib
import re
import struct
import zipfile
import zlib
from pathlib import Path

from mmengine.fileio import LocalBackend
from mmengine.fileio.backends import register_backend

from mmvmlp.output_files import write_atomically

BACKEND_NAME = 'mmvmlp_checkpoints'

END_OF_ZIP = b'PK\5\6'
EMPTY_END_SIZE = 22
"""Size of a zip file's last record without a comment; its last two bytes are the comment's size."""

SEAL_START = b'sha256:'
SEAL_SIZE = len(SEAL_START) + 2 * hashlib.sha256().digest_size

CHUNK_BYTES = 1 << 22


@register_backend(BACKEND_NAME, force=True)
class CheckpointBackend(LocalBackend):
    """Writes checkpoints under a temporary name, syncs and renames them, and seals them.

    The seal is the SHA-256 of all bytes before it, in the comment of the zip file that
    ``torch.save`` writes: other readers pass over it, and it stays with a file that is moved.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a checkpoint.

        Raises:
            OSError: If it cannot be written; earlier checkpoints are unchanged.
        """
        file = Path(filepath)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(file, *_sealed(obj), synced=True)
        except OSError as error:
            raise type(error)(
                f'checkpoint: {error}. Earlier checkpoints are unchanged: make room, then go on '
                'with --resume'
            ) from error


def _sealed(contents: bytes) -> tuple[bytes | memoryview, ...]:
    end = contents[-EMPTY_END_SIZE:]
    if not end.startswith(END_OF_ZIP) or not end.endswith(b'\0\0'):
        return (contents,)
    start, size_of_comment = memoryview(contents)[:-2], struct.pack('<H', SEAL_SIZE)
    digest = hashlib.sha256(start)
    digest.update(size_of_comment)
    return start, size_of_comment, SEAL_START + digest.hexdigest().encode()


def damage(file: str | Path) -> str | None:
    """Say what is wrong with a checkpoint file.

    A file with a seal is compared with it, others with the CRC-32 sums in them, if there are any:
    ``torch.load`` compares neither, so that a flipped bit would change a weight.

    Args:
        file: A file as ``torch.save`` writes it.

    Returns:
        The damage, or None for a whole file.
    """
    file = Path(file)
    try:
        seal = _seal(file)
        if seal is not None:
            intact = seal == _seal_of_contents(file)
            return None if intact else 'its contents differ from its SHA-256'
        with zipfile.ZipFile(file) as archive:
            # torch.serialization.set_crc32_options(False) writes zeros.
            has_sums = any(entry.CRC for entry in archive.infolist())
            damaged = archive.testzip() if has_sums else None
        return None if damaged is None else f'its part {damaged!r} differs from its CRC-32 sum'
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        return 'it is truncated, or no checkpoint'
    except OSError as error:
        return f'it cannot be read ({error.strerror})'


def _seal(file: Path) -> bytes | None:
    """Return the seal, damaged or not; None for a file without one."""
    with file.open('rb') as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - SEAL_SIZE - EMPTY_END_SIZE))
        end, seal = stream.read(EMPTY_END_SIZE), stream.read()
    has_place = end.startswith(END_OF_ZIP) and end.endswith(struct.pack('<H', SEAL_SIZE))
    return seal if has_place or seal.startswith(SEAL_START) else None


def _seal_of_contents(file: Path) -> bytes:
    digest, left = hashlib.sha256(), file.stat().st_size - SEAL_SIZE
    with file.open('rb') as stream:
        while left > 0 and (chunk := stream.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return SEAL_START + digest.hexdigest().encode()


def newest_whole_checkpoint(folder: str | Path, name: str) -> tuple[Path | None, dict[Path, str]]:
    """Find the newest checkpoint that is whole.

    Args:
        folder: Folder of the checkpoints.
        name: Their name, with ``{}`` in place of the number of the epoch or iteration.

    Returns:
        The checkpoint, or None if there is none; and newer ones with their damage.
    """
    pattern = re.compile(re.escape(name).replace(r'\{\}', r'(\d+)'))
    numbered = [
        (int(match[1]), file)
        for file in Path(folder).glob('*')
        if (match := pattern.fullmatch(file.name)) and file.is_file()
    ]
    damaged: dict[Path, str] = {}
    for _, file in sorted(numbered, reverse=True):
        found = damage(file)
        if found is None:
            return file, damaged
        damaged[file] = found
    return None, damaged
