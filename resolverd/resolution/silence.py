"""The silent nameservers of a section, for whose errors attempts do not wait. Pure.

Owns how many attempts in a row each has left unanswered, over all names of the section, so that a
dead nameserver is recognized once for all names. A silent one is still asked and its answers count;
its first answer about any name ends its silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from resolverd.config import ResolversSection

ATTEMPTS_MAX = 3  # unanswered in a row: more than a lost datagram or two


class Silence:
    """The silent nameservers of one section; `nameservers` is always the present set."""

    def __init__(self, section: ResolversSection) -> None:
        self._section = section
        self._silent: set[str] = set()
        self._unanswered: dict[str, int] = {}

    @property
    def nameservers(self) -> Set[str]:
        """The silent ones: a live set, not a copy."""
        return self._silent

    def unanswered(self, nameservers: Iterable[str]) -> list[str]:
        """An attempt has timed out at these; returns those that are silent from now on."""
        fallen: list[str] = []
        for name in nameservers:
            self._unanswered[name] = self._unanswered.get(name, 0) + 1
            if self._unanswered[name] >= ATTEMPTS_MAX and name not in self._silent:
                self._silent.add(name)
                fallen.append(name)
        return fallen

    def answered(self, nameserver: str) -> bool:
        """A nameserver has answered an attempt; returns whether it was silent."""
        if not self._unanswered or not self._unanswered.pop(nameserver, 0):
            return False
        was_silent = nameserver in self._silent
        self._silent.discard(nameserver)
        return was_silent

    def follow(self, section: ResolversSection) -> None:
        """The section has other nameservers: drop the counts of former ones."""
        for nameserver in self._section.nameservers:
            if nameserver not in section.nameservers:
                self.answered(nameserver.name)
        self._section = section
