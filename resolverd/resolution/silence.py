"""Which nameservers of a section have fallen silent, so that nobody waits for them. Pure.

Owns how many attempts in a row each has left unanswered, over all names of the section: a dead one
is told from a lost datagram once for all of them. A silent one is asked as ever and what it answers
counts; its first answer to any name makes it one that is waited for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from resolverd.config import ResolversSection

ATTEMPTS_MAX = 3  # unanswered in a row: a lost datagram or two is no silence


class Silence:
    """The silent nameservers of one section; `nameservers` is always the present set."""

    def __init__(self, section: ResolversSection) -> None:
        """All are expected to answer."""
        self._section = section
        self._silent: set[str] = set()
        self._unanswered: dict[str, int] = {}

    @property
    def nameservers(self) -> Set[str]:
        """Those that have left their last attempts unanswered; follows what happens."""
        return self._silent

    def unanswered(self, nameservers: Iterable[str]) -> None:
        """The time-out of an attempt has passed at these."""
        for name in nameservers:
            self._unanswered[name] = self._unanswered.get(name, 0) + 1
            if self._unanswered[name] >= ATTEMPTS_MAX:
                self._silent.add(name)

    def answered(self, nameserver: str) -> None:
        """It has answered something."""
        if self._unanswered and self._unanswered.pop(nameserver, 0):
            self._silent.discard(nameserver)

    def follow(self, section: ResolversSection) -> None:
        """The section has other nameservers: what was known of former ones is forgotten."""
        for nameserver in self._section.nameservers:
            if nameserver not in section.nameservers:
                self.answered(nameserver.name)
        self._section = section
