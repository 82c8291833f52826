"""Canonical names of networks, and their other spellings."""

import difflib
import re
from collections.abc import Collection

SIZES = {'t': 'tiny', 's': 'small', 'b': 'base', 'l': 'large'}
"""Sizes by their letter in names, as in configs."""


def canonical_name(name: str, known: Collection[str]) -> str | None:
    """Return the canonical name for any spelling, or None if unknown.

    Case, ``-`` in place of ``_``, and a suffix ``_in1k`` or ``.in1k`` are ignored; sizes may be
    letters: ``'Hire-MLP-T_in1k'`` is ``'hire_mlp_tiny'``.

    Args:
        name: Name in any spelling.
        known: Canonical names.
    """
    plain = _plain(name)
    spelled_out = '_'.join(SIZES.get(word, word) for word in plain.split('_'))
    return next((spelling for spelling in (plain, spelled_out) if spelling in known), None)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return a hint for errors with the closest known name, or '' if none is close."""
    close = difflib.get_close_matches(_plain(name), known, n=1)
    return f' (did you mean {close[0]!r}?)' if close else ''


def _plain(name: str) -> str:
    return re.sub(r'[_.]in1k$', '', name.lower().replace('-', '_'))
