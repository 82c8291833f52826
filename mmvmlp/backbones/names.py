"""Canonical names of networks, and their other spellings."""

import difflib
import re
from collections.abc import Collection

SIZE = re.compile(r'^(tiny|small|medium|base|large)(?=\d*$)')
"""Size at the start of a word in a name, of which configs have the first letter only."""


def canonical_name(name: str, known: Collection[str]) -> str | None:
    """Return the canonical name for any spelling, or None if unknown.

    Case, ``-`` in place of ``_``, and a suffix ``_in1k`` or ``.in1k`` are ignored; sizes may be
    letters: ``'Hire-MLP-T_in1k'`` is ``'hire_mlp_tiny'``, and ``'s7'`` is ``'small7'``.

    Args:
        name: Name in any spelling.
        known: Canonical names.
    """
    plain = _plain(name)
    if plain in known:
        return plain
    return next((one for one in known if _shortened(one) == _shortened(plain)), None)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return a hint for errors with the closest known name, or '' if none is close."""
    close = difflib.get_close_matches(_plain(name), known, n=1)
    return f' (did you mean {close[0]!r}?)' if close else ''


def _shortened(name: str) -> str:
    words = name.split('_')
    return '_'.join(SIZE.sub(lambda size: size[0][0], word) for word in words)


def _plain(name: str) -> str:
    return re.sub(r'[_.]in1k$', '', name.lower().replace('-', '_'))
