"""Documents with tables that a command writes, between prose that people write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def with_sections(document: Path, sections: Mapping[str, str]) -> str:
    """Return a document's text with new contents in its sections; the file stays as it is.

    Args:
        document: A section ``NAME`` stands between ``<!-- begin NAME -->`` and
            ``<!-- end NAME -->``.
        sections: The contents by name.

    Raises:
        FileNotFoundError: If there is no document.
        ValueError: If it lacks a pair of markers.
    """
    if not document.is_file():
        raise FileNotFoundError(f'document {str(document)!r}: there is no such file')
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


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, a line a row."""
    lines = [headings, ['---'] * len(headings), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
