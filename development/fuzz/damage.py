"""Random damage of files: flipped bits, cuts, zeros, insertions."""

from typing import Any

from hypothesis import strategies as st

Damage = tuple[str, float, Any]
"""Its kind, its place as a share of the file, and what it does there."""

_PLACES = st.floats(0, 1, exclude_max=True)

DAMAGES: st.SearchStrategy[Damage] = st.one_of(
    st.tuples(st.just('flip'), _PLACES, st.integers(0, 7)),
    st.tuples(st.just('cut'), _PLACES, st.none()),
    st.tuples(st.just('zero'), _PLACES, st.integers(1, 64) | st.integers(1, 4096)),
    st.tuples(st.just('insert'), _PLACES, st.binary(min_size=1, max_size=40)),
)


def damaged(contents: bytes, damages: list[Damage]) -> bytes:
    """Return the contents of a file with damage, one after the other."""
    changed = bytearray(contents)
    for kind, place, how in damages:
        at = int(place * len(changed))
        if kind == 'flip' and changed:
            changed[at] ^= 1 << how
        elif kind == 'cut':
            del changed[at:]
        elif kind == 'zero':
            changed[at : at + how] = bytes(len(changed[at : at + how]))
        elif kind == 'insert':
            changed[at:at] = how
    return bytes(changed)
