"""Documents with generated sections between handwritten text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvmlp.output_files import write_atomically


def with_sections(document: Path, sections: Mapping[str, str]) -> str:
    """Return a document's text with new contents of its sections; the file is unchanged.

    Args:
        document: Document with each section between ``<!-- begin NAME -->`` and
            ``<!-- end NAME -->``.
        sections: Contents by name.

    Raises:
        FileNotFoundError: If the document does not exist.
        ValueError: If it lacks a pair of markers.
    """
    if not document.is_file():
        raise FileNotFoundError(f'document {str(document)!r} does not exist')
    text = document.read_text(encoding='utf-8')
    for name, contents in sections.items():
        text = _replaced(text, name, contents, document)
    return text


def _replaced(text: str, name: str, contents: str, document: Path) -> str:
    marked = re.compile(rf'(<!-- begin {name} -->\n).*?(<!-- end {name} -->)', re.DOTALL)
    if len(marked.findall(text)) != 1:
        raise ValueError(
            f'document {str(document)!r}: one pair of lines <!-- begin {name} --> and '
            f'<!-- end {name} --> is expected'
        )
    return marked.sub(lambda match: f'{match[1]}\n{contents}\n\n{match[2]}', text)


def write_record(
    root: Path, record: Mapping[str, Any], file: str, document: str, sections: Mapping[str, str]
) -> None:
    """Write measurements as JSON, and the sections of a document that are made from them.

    Args:
        root: Folder of the project.
        record: The measurements.
        file: JSON file, below the folder.
        document: The document, below the folder.
        sections: See :func:`with_sections`.
    """
    text = with_sections(root / document, sections)
    write_atomically(root / file, (json.dumps(record, indent=1, allow_nan=False) + '\n').encode())
    write_atomically(root / document, text.encode())


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table in Markdown."""
    lines = [headings, ['---'] * len(headings), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
