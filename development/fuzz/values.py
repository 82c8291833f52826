"""Random values in place of those that are expected."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ODD_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**63, -(2**40)]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(['', 'none', '0', 'Hire-MLP', '/', '../..', 'é\u202e', 'x' * 300]),
    st.just([]),
    st.lists(st.integers(-2, 40), max_size=5),
    st.just({}),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys and indices that lead to every value in dicts and lists."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


@st.composite
def changes(draw: st.DrawFn, original: Any) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Draw one to three changes of a structure of dicts and lists."""
    places = list(paths(original))
    kinds = st.sampled_from(['replace', 'replace', 'remove', 'rename', 'repeat'])
    change = st.tuples(kinds, st.sampled_from(places), ODD_VALUES)
    return draw(st.lists(change, min_size=1, max_size=3))


def changed(original: Any, listed: list[tuple[str, tuple[Any, ...], Any]]) -> Any:
    """Return a copy of a structure of dicts and lists with changes from :func:`changes`."""
    copy = _copied(original)
    for kind, path, value in listed:
        owner = copy
        try:
            for key in path[:-1]:
                owner = owner[key]
            inner = owner[path[-1]]
            if kind == 'replace':
                owner[path[-1]] = value
            elif kind == 'remove':
                del owner[path[-1]]
            elif isinstance(owner, dict):
                owner[f'{path[-1]}_' if kind == 'rename' else str(value)] = inner
                if kind == 'rename':
                    del owner[path[-1]]
            else:
                owner.append(inner)
        except (KeyError, IndexError, TypeError, AttributeError):
            # An earlier change has removed the place.
            continue
    return copy


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(inner) for inner in value]
    return value
