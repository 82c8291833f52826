"""The blocks of code of the documentation's pages."""

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
# A directive of Sphinx is fenced too: its name is in braces.
DIRECTIVE = '{'


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: ``sh``, ``python``, or ``text`` for what is printed and for layouts of folders;
            empty for a block that is indented instead of fenced.
        text: The code, with the indentation of a list's item taken off.
        section: The heading above it.
        line: Its first line in the page, from 1.
    """

    language: str
    text: str
    section: str
    line: int


def pages() -> list[str]:
    """Return the pages with code for readers, below the root."""
    files = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'AGENTS.md')]
    for folder in ('.agents', 'docs'):
        files += sorted((ROOT / folder).rglob('*.md'))
    return [str(file.relative_to(ROOT)) for file in files]


def blocks_of(page: str, language: str | None = None, section: str | None = None) -> list[Block]:
    """Return the blocks of a page in order, or those of a language or a section."""
    blocks = []
    heading = ''
    tokens = MarkdownIt().parse((ROOT / page).read_text())
    for number, token in enumerate(tokens):
        if token.type == 'heading_open':
            heading = tokens[number + 1].content
        elif token.type in ('fence', 'code_block') and not token.info.startswith(DIRECTIVE):
            blocks.append(Block(token.info, token.content, heading, token.map[0] + 1))
    return [
        block
        for block in blocks
        if language in (None, block.language) and section in (None, block.section)
    ]


def shell_code(page: str, section: str | None = None) -> str:
    """Return what a reader of a page, or of a section, pastes into a shell."""
    return ''.join(block.text for block in blocks_of(page, 'sh', section))
