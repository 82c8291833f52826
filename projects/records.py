"""JSON file of a study's measurements, one record per test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from mmvmlp.output_files import write_atomically

Record = dict[str, Any]


class RecordFile:
    """Records and the settings they were measured with, in an extensible file.

    Args:
        path: The JSON file. It appears with the first records, and is replaced whole.
        settings: What must be the same for all records, as JSON knows it. Entries of a mapping
            must be the same where the file has them, and are added where it has not.
        fields: Fields that all records have, and by which they are sorted.

    Raises:
        ValueError: If there is a file with other settings, or one that is no such file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], fields: Sequence[str]) -> None:
        self.path = path
        self.fields = tuple(fields)
        # As JSON gives it back: a tuple there is a list.
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.records: list[Record] = []
        if path.exists():
            there, self.records = read_records(path, fields)
            for name, value in self.settings.items():
                if isinstance(value, dict):
                    known = there.get(name, {})
                    self.settings[name] = {**known, **value}
                    there[name] = {**self.settings[name], **known}
            differences = [
                f'{name} {there.get(name)!r} instead of {value!r}'
                for name, value in self.settings.items()
                if there.get(name) != value
            ]
            if differences:
                raise ValueError(
                    f'{str(path)!r} has records measured with {", ".join(differences)}: name '
                    'another file, or remove it'
                )

    def has(self, **values: Any) -> bool:
        """Return True if there is a record with these values."""
        return any(values.items() <= record.items() for record in self.records)

    def add(self, records: Iterable[Record]) -> None:
        """Add records, sort them, and write the file."""
        self.records = sorted([*self.records, *records], key=itemgetter(*self.fields))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = ',\n'.join(f'  {json.dumps(record)}' for record in self.records)
        settings = json.dumps(self.settings, indent=1)
        text = f'{{"settings": {settings},\n"records": [\n{lines}\n]}}\n'
        write_atomically(self.path, text.encode())


def read_records(path: Path, fields: Sequence[str]) -> tuple[dict[str, Any], list[Record]]:
    """Read a file written by :class:`RecordFile`.

    Args:
        path: The JSON file.
        fields: Fields that all records have.

    Returns:
        Settings and records.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it has other contents.
    """
    if not path.is_file():
        raise FileNotFoundError(f'records {str(path)!r} do not exist')
    try:
        contents = json.loads(path.read_text(encoding='utf-8'))
        settings, records = contents['settings'], contents['records']
        for record in records:
            itemgetter(*fields)(record)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{str(path)!r} is not a record file of this study: {error!r}') from error
    return settings, records


def check_names(kind: str, names: Sequence[str], known: Iterable[str]) -> None:
    """Refuse unknown names, or an empty list.

    Raises:
        ValueError: With the known names.
    """
    unknown = [name for name in names if name not in (known := list(known))]
    if unknown or not names:
        raise ValueError(f'{kind} {list(names)!r}: accepted are {", ".join(known)}')
