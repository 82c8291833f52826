"""Images from files, folders, patterns, lists, Parquet tables and object stores."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mmvmlp.datasets.loading import CheckedImageBackend, ImageReadError, check_contents
from mmvmlp.datasets.object_store import (
    ObjectStoreBackend,
    clear_errors,
    is_in_object_store,
    open_object_store,
)
from mmvmlp.inference.images import find_images, is_image_name
from mmvmlp.optional_packages import import_optional

LIST_SUFFIX = '.txt'
TABLE_SUFFIX = '.parquet'

NAME_COLUMNS = ('path', 'name', 'file_name', 'filename', 'url')
"""Columns of a Parquet table that are looked for first."""

MAX_ROW_GROUP = 2**31
"""Largest row group of a Parquet table with images, in bytes: one is kept in memory."""


class ImageReference(NamedTuple):
    """An image to predict on.

    Attributes:
        name: Its path or address; of an image inside a Parquet table, its name there.
        table: The Parquet table that holds its contents.
        row: Its row there.
    """

    name: str
    table: str = ''
    row: int = 0


def find_sources(names: Sequence[str]) -> list[ImageReference]:
    """Find the images that the arguments of a command name.

    Args:
        names: Files, folders and patterns, as :func:`find_images` takes them; ``.txt`` files with
            a path or an address a line; ``.parquet`` files with a column of paths, or with a column
            of contents and one of names; addresses of objects, ``s3://BUCKET/KEY``, of which those
            that are no image, no list and no table stand for all images below them.

    Returns:
        The images, each once, in the order of their names where nothing else orders them. Paths in
        lists and tables may be wrong: that is known when they are read.

    Raises:
        FileNotFoundError: If something that was named is missing or holds no image.
        ValueError: If a table does not have the columns.
        ImportError: If a package is missing.
    """
    found: dict[tuple[str, int], ImageReference] = {}
    for name in names:
        for reference in _references(name):
            found.setdefault(_identity(reference), reference)
    return list(found.values())


def read_contents(reference: ImageReference) -> bytes:
    """Read the file of an image.

    Raises:
        ImageReadError: If it cannot be read, or is refused; see
            :func:`~mmvmlp.datasets.loading.check_contents`.
    """
    if not reference.table:
        return CheckedImageBackend().get(reference.name)
    contents = _read_row(reference.table, reference.row)
    check_contents(contents, reference.name)
    return contents


def _references(name: str) -> Iterator[ImageReference]:
    suffix = os.path.splitext(name)[1].lower()
    if suffix == LIST_SUFFIX and _exists(name):
        yield from _listed(name)
    elif suffix == TABLE_SUFFIX and _exists(name):
        yield from _in_table(name)
    elif is_in_object_store(name):
        yield from _in_object_store(name)
    else:
        yield from (ImageReference(str(path)) for path in find_images([name]))


def _identity(reference: ImageReference) -> tuple[str, int]:
    if reference.table:
        return reference.table, reference.row
    if '://' in reference.name:
        return reference.name, -1
    folder, name = os.path.split(reference.name)
    path = os.path.join(_real_folder(folder), name)
    return os.path.realpath(path) if os.path.islink(path) else path, -1


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _exists(name: str) -> bool:
    return is_in_object_store(name) or Path(name).is_file()


def _listed(name: str) -> Iterator[ImageReference]:
    if is_in_object_store(name):
        text = ObjectStoreBackend().get_text(name)
    else:
        try:
            text = Path(name).read_text(encoding='utf-8')
        except UnicodeDecodeError as error:
            raise ValueError(f'list {name!r}: text in UTF-8 is accepted ({error})') from None
    lines = [line.strip() for line in text.splitlines()]
    if not any(lines):
        raise FileNotFoundError(f'list {name!r}: there is no path in it, one a line')
    yield from (ImageReference(line) for line in lines if line)


def _in_object_store(address: str) -> Iterator[ImageReference]:
    backend = ObjectStoreBackend()
    if is_image_name(address) and backend.isfile(address):
        yield ImageReference(address)
        return
    found = [
        backend.join_path(address, name)
        for name in backend.list_dir_or_file(address, list_dir=False, recursive=True)
        if is_image_name(name)
    ]
    if not found:
        raise FileNotFoundError(f'address {address!r}: there is no image below it')
    yield from map(ImageReference, found)


def _in_table(name: str) -> Iterator[ImageReference]:
    table = _open_table(name)
    import pyarrow as pa

    schema = table.schema_arrow
    contents = _contents_column(schema)
    names = [
        column
        for column in schema.names
        if pa.types.is_string(schema.field(column).type)
        or pa.types.is_large_string(schema.field(column).type)
    ]
    known = [column for column in NAME_COLUMNS if column in names]
    if not known and len(names) != 1:
        raise ValueError(
            f'table {name!r} has the columns {", ".join(schema.names)}; a column of paths or names '
            f'must be the only one of text, or be called {", ".join(NAME_COLUMNS)}'
        )
    if contents is not None:
        _check_row_groups(name, table)
    row = 0
    for batch in table.iter_batches(columns=[(known or names)[0]], batch_size=10_000):
        for value in batch.column(0).to_pylist():
            if value is None:
                raise ValueError(f'table {name!r}: row {row} has no name')
            yield ImageReference(value, name, row) if contents else ImageReference(value)
            row += 1
    if not row:
        raise FileNotFoundError(f'table {name!r} has no rows')


def _contents_column(schema: Any) -> str | None:
    import pyarrow as pa

    binary = [
        column
        for column in schema.names
        if pa.types.is_binary(schema.field(column).type)
        or pa.types.is_large_binary(schema.field(column).type)
    ]
    if len(binary) > 1:
        raise ValueError(
            f'columns {", ".join(binary)} of the table hold bytes; one of them may, with the images'
        )
    return binary[0] if binary else None


def _check_row_groups(name: str, table: Any) -> None:
    for group in range(table.num_row_groups):
        size = table.metadata.row_group(group).total_byte_size
        if size > MAX_ROW_GROUP:
            raise ValueError(
                f'table {name!r}: row group {group} has {size / 2**30:.1f} GiB, and at most '
                f'{MAX_ROW_GROUP / 2**30:.0f} are accepted; write it with a smaller row_group_size'
            )


@lru_cache(maxsize=8)
def _open_table(name: str) -> Any:
    pq = import_optional('pyarrow.parquet', 'storage')
    import pyarrow as pa

    try:
        if is_in_object_store(name):
            with clear_errors(name):
                return pq.ParquetFile(open_object_store(name).open(name))
        return pq.ParquetFile(name)
    except pa.ArrowInvalid as error:
        raise ValueError(f'table {name!r} is not a Parquet file, or is damaged') from error


_READING = threading.Lock()
"""Threads that decode want rows of the same group."""


def _read_row(table: str, row: int) -> bytes:
    with _READING:
        try:
            metadata = _open_table(table).metadata
            group, first = 0, 0
            while first + metadata.row_group(group).num_rows <= row:
                first += metadata.row_group(group).num_rows
                group += 1
            contents = _row_group(table, group)[row - first].as_py()
        except (OSError, ValueError) as error:
            # pyarrow's errors are of these kinds.
            raise ImageReadError(f'row {row} of table {table!r} cannot be read: {error}') from error
    return contents or b''


@lru_cache(maxsize=1)
def _row_group(table: str, group: int) -> Any:
    parquet = _open_table(table)
    return parquet.read_row_group(group, [_contents_column(parquet.schema_arrow)]).column(0)
