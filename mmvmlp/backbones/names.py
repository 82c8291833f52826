"""Names of networks: one is canonical, other spellings of it are understood."""

import difflib
import re
from collections.abc import Collection

SIZES = {'t': 'tiny', 's': 'small', 'b': 'base', 'l': 'large'}
"""What a letter that stands alone means in a name, as in those of configs."""


def canonical_name(name: str, known: Collection[str]) -> str | None:
    """Return the known name that another spelling stands for; none where it stands for no one.

    Case, ``-`` in the place of ``_``, and ``_in1k`` or ``.in1k`` at the end make no difference.
    A size may be a letter: ``'Hire-MLP-T_in1k'`` is ``'hire_mlp_tiny'``.

    Args:
        name: The name in any spelling.
        known: The canonical names.
    """
    plain = _plain(name)
    spelled_out = '_'.join(SIZES.get(word, word) for word in plain.split('_'))
    return next((spelling for spelling in (plain, spelled_out) if spelling in known), None)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return what an error says of the known name that is closest; nothing where none is close."""
    close = difflib.get_close_matches(_plain(name), known, n=1)
    return f' (did you mean {close[0]!r}?)' if close else ''


def _plain(name: str) -> str:
    return re.sub(r'[_.]in1k$', '', name.lower().replace('-', '_'))
