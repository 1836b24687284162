"""Hints at the known word nearest to an unknown one.

Owns one decision: whether a known word is near enough for a hint. Each of a few words is compared;
of many names only those that an index finds near, so that a file full of errors costs no more than
one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

NEAR = 0.6  # the least share of matching characters for a hint
COMPARED_MAX = 100  # names of one hint: comparing one costs as much as reading a line
LENGTH_MAX = 64  # characters that are compared


def hint(unknown: str, known: Iterable[str]) -> str:
    """`; did you mean 'balance' maybe ?`, or "" when no known word is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - few files have an unknown word

    near = get_close_matches(unknown[:LENGTH_MAX], known, n=1, cutoff=NEAR)
    return f"; did you mean '{near[0]}' maybe ?" if near else ""


class NameIndex:
    """Names in the user's files, in any number, with a hint at the nearest.

    The index is built by the first hint among more than COMPARED_MAX names.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = list(names)
        self._indexed = 0  # the number of names in the index
        self._index: dict[str, list[str]] = {}

    def add(self, name: str) -> None:
        """Add a name."""
        self._names.append(name)

    def hint(self, unknown: str) -> str:
        """The hint; among many, at a name with one character changed or two adjacent swapped."""
        if len(self._names) <= COMPARED_MAX:
            return hint(unknown, self._names)
        for name in self._names[self._indexed :]:
            for form in _shortened(name):
                near = self._index.setdefault(form, [])
                if len(near) < COMPARED_MAX:
                    near.append(name)
        self._indexed = len(self._names)
        found = {name: None for form in _shortened(unknown) for name in self._index.get(form, ())}
        return hint(unknown, list(found)[:COMPARED_MAX])


def _shortened(name: str) -> Iterator[str]:
    """The name, and each form of it without one character."""
    name = name[:LENGTH_MAX]
    yield name
    for position in range(len(name)):
        yield name[:position] + name[position + 1 :]
