"""The word that was probably meant.

Owns one decision: whether a known word is near enough to an unknown one to be worth a hint. Of a
few words each is compared; of many names only those that an index finds near, so that a file full
of errors costs no more than one without.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

NEAR = 0.6  # share of matching characters below which a hint would mislead
COMPARED_MAX = 100  # names of one hint: comparing one costs as much as reading a line
LENGTH_MAX = 64  # characters that are looked at


def hint(unknown: str, known: Iterable[str]) -> str:
    """`; did you mean 'balance' maybe ?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(unknown[:LENGTH_MAX], known, n=1, cutoff=NEAR)
    return f"; did you mean '{near[0]}' maybe ?" if near else ""


class Names:
    """Names of the user's own, in any number, and the one that was probably meant."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Nothing is indexed before there is something to suggest among many."""
        self._names = list(names)
        self._indexed = 0  # so many of them are in the index
        self._index: dict[str, list[str]] = {}

    def add(self, name: str) -> None:
        """One more name."""
        self._names.append(name)

    def hint(self, unknown: str) -> str:
        """The hint; among many names, one that differs by one character or two neighbours."""
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
    """The name, and each form of it that lacks one character."""
    name = name[:LENGTH_MAX]
    yield name
    for position in range(len(name)):
        yield name[:position] + name[position + 1 :]
