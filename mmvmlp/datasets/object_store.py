"""Files in S3-compatible object stores, for everything that mmengine reads and writes.

mmengine's own backend for ``s3://`` needs a package that was never published.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmengine.fileio import FileClient
from mmengine.fileio.backends import BaseStorageBackend, register_backend

from mmvmlp.optional_packages import import_optional

SCHEME = 's3://'


class ObjectStoreError(OSError):
    """Error for an object store that does not answer, or an object that it does not give."""


def open_object_store(address: str | Path, **options: Any) -> Any:
    """Return the file system of an object store.

    Clients are kept for each process and thread: call this where it is used instead of keeping the
    result, which does not work in a forked process. Credentials and endpoint are those of the AWS
    tools: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE`` and, for other
    stores than Amazon's, ``AWS_ENDPOINT_URL``.

    Args:
        address: Address of any object in it: ``s3://BUCKET/KEY``.
        **options: Options of ``s3fs.S3FileSystem``, such as ``endpoint_url``, or ``anon=True`` for
            public buckets.

    Returns:
        An ``fsspec`` file system. Its errors are turned into ours by :func:`clear_errors`.

    Raises:
        ValueError: If the address has another scheme or no bucket.
        ImportError: If s3fs is not installed.
    """
    bucket = str(address).removeprefix(SCHEME).partition('/')[0]
    if not is_in_object_store(address) or not bucket:
        raise ValueError(f'address {str(address)!r}: s3://BUCKET/KEY is accepted')
    s3fs = import_optional('s3fs', 'storage')
    endpoint = os.environ.get('AWS_ENDPOINT_URL_S3') or os.environ.get('AWS_ENDPOINT_URL')
    # Named, so that a client of another endpoint is not taken again.
    if endpoint:
        options.setdefault('endpoint_url', endpoint)
    # Other programs write there too: what was listed before may have changed.
    return s3fs.S3FileSystem(use_listings_cache=False, **options)


def is_in_object_store(path: str | Path) -> bool:
    """Return whether a path is an address of an object store."""
    return str(path).startswith(SCHEME)


@contextmanager
def clear_errors(address: str | Path, action: str = 'read') -> Iterator[None]:
    """Turn the errors of an object store into one that names the address and the reason.

    Raises:
        ObjectStoreError: If the code inside raises an error of the store or of the network.
    """
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except FileNotFoundError as error:
        raise ObjectStoreError(f'{str(address)!r} does not exist') from error
    except (OSError, ValueError, TypeError, BotoCoreError) as error:
        # s3fs checks its options when it connects.
        reason = str(error).strip() or type(error).__name__
        raise ObjectStoreError(f'{str(address)!r} cannot be {action}: {reason}') from error


@register_backend('s3', prefixes='s3', force=True)
class ObjectStoreBackend(BaseStorageBackend):
    """Reads and writes ``s3://BUCKET/KEY`` wherever mmengine takes a path.

    Configs need no setting if the environment names endpoint and credentials; otherwise they are
    ``backend_args=dict(backend='s3', endpoint_url='https://…')``, for images
    ``backend_args=dict(backend='mmvmlp', storage=dict(backend='s3', …))``.

    Args:
        **options: Options of :func:`open_object_store`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def get(self, filepath: str | Path) -> bytes:
        """Read an object."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath):
            contents: bytes = store.cat_file(str(filepath))
        return contents

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a text."""
        return self.get(filepath).decode(encoding)

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write an object; readers see the former one until it is whole."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath, 'written'):
            store.pipe_file(str(filepath), obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write a text."""
        self.put(obj.encode(encoding), filepath)

    def exists(self, filepath: str | Path) -> bool:
        """Return whether there is an object, or are objects below this address."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath):
            # Not `exists`, which takes any error for a missing object.
            return _type(store, filepath) is not None

    def isfile(self, filepath: str | Path) -> bool:
        """Return whether there is an object."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath):
            return _type(store, filepath) == 'file'

    def isdir(self, filepath: str | Path) -> bool:
        """Return whether there are objects below this address."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath):
            return _type(store, filepath) == 'directory'

    def join_path(self, filepath: str | Path, *filepaths: str | Path) -> str:
        """Join parts of an address."""
        return '/'.join([str(filepath).rstrip('/'), *(str(part).strip('/') for part in filepaths)])

    @contextmanager
    def get_local_path(self, filepath: str | Path) -> Iterator[str]:
        """Download an object to a temporary file of the same suffix."""
        contents = self.get(filepath)
        descriptor, name = tempfile.mkstemp(suffix=Path(str(filepath)).suffix)
        try:
            with open(descriptor, 'wb') as stream:
                stream.write(contents)
            yield name
        finally:
            with suppress(FileNotFoundError):
                os.remove(name)

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """List names below an address, relative to it, without hidden ones.

        Raises:
            ObjectStoreError: If there is nothing below it.
        """
        store = open_object_store(dir_path, **self.options)
        root = store._strip_protocol(str(dir_path)).rstrip('/') + '/'
        with clear_errors(dir_path, 'listed'):
            entries = store.find(
                str(dir_path), maxdepth=None if recursive else 1, withdirs=True, detail=True
            )
            if not entries:
                raise FileNotFoundError
        for path, entry in sorted(entries.items()):
            # It lists the folder itself, too.
            name = path.removeprefix(root) if path.startswith(root) else ''
            if not name or any(part.startswith('.') for part in name.split('/')):
                continue
            if entry['type'] == 'directory':
                if list_dir and suffix is None:
                    yield name
            elif list_file and (suffix is None or name.endswith(suffix)):
                yield name

    def remove(self, filepath: str | Path) -> None:
        """Delete an object."""
        store = open_object_store(filepath, **self.options)
        with clear_errors(filepath, 'deleted'):
            store.rm_file(str(filepath))

    def rmtree(self, dir_path: str | Path) -> None:
        """Delete all objects below an address."""
        store = open_object_store(dir_path, **self.options)
        with clear_errors(dir_path, 'deleted'):
            store.rm(str(dir_path), recursive=True)


# mmengine's CheckpointHook still asks this former interface, whose registration does not replace
# the backend of a prefix.
FileClient._prefix_to_backends['s3'] = ObjectStoreBackend


def _type(store: Any, address: str | Path) -> str | None:
    try:
        kind: str = store.info(str(address))['type']
    except FileNotFoundError:
        return None
    return kind
