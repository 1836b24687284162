"""The last question about one name and the answers to it, for `show resolution`. Pure.

Owns the last question, and the last answer of each nameserver for each type. Storing costs little:
`explain/answers.py` derives the rest when control asks for it.
"""

from __future__ import annotations

from collections.abc import Set

import msgspec

from resolverd.dns.answer import Answer, QueryType
from resolverd.resolution.attempts import NO_NAMESERVER


class LastAnswer(msgspec.Struct):
    """The last answer of one nameserver for one type."""

    nameserver: str
    query_type: QueryType
    answer: Answer
    when_ms: int


class History:
    """The last question about one name and its answers."""

    __slots__ = ("_former", "_last", "asked_ms", "begun_ms", "query_types", "unsent")

    def __init__(self) -> None:
        self.query_types: tuple[QueryType, ...] = ()  # asked for at once
        self.begun_ms = 0  # beginning of the open or the last run
        self.asked_ms = 0
        self.unsent: tuple[str, ...] = ()  # nameservers that the last question did not reach
        self._last: list[LastAnswer] = []  # one for each nameserver and type: few
        self._former = NO_NAMESERVER  # before the last change: late answers of these do not count

    @property
    def answers(self) -> dict[tuple[str, QueryType], LastAnswer]:
        """The last answers, by nameserver and type, in the order of the first ones."""
        return {(last.nameserver, last.query_type): last for last in self._last}

    def follow(self, before: Set[str], after: Set[str]) -> None:
        """The nameservers have changed: drop the answers of former ones."""
        self._former = frozenset(before - after)
        self._last = [last for last in self._last if last.nameserver in after]
        self.unsent = tuple(each for each in self.unsent if each in after)

    def asked(self, query_types: tuple[QueryType, ...], now_ms: int, unsent: list[str]) -> None:
        """A question was sent to all nameservers but `unsent`.

        `query_types` are those sent at the same time, this one last.
        """
        self.query_types, self.asked_ms = query_types, now_ms
        before = self.unsent if len(query_types) > 1 else ()
        if unsent or self.unsent:
            self.unsent = tuple(dict.fromkeys((*before, *unsent)))

    def lost(self, nameserver: str) -> None:
        """The last question did not reach this nameserver."""
        self.unsent = (*(each for each in self.unsent if each != nameserver), nameserver)

    def answered(self, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int) -> None:
        """Store a nameserver's answer."""
        if nameserver in self._former:
            return
        for last in self._last:
            if last.nameserver == nameserver and last.query_type is query_type:
                last.answer, last.when_ms = answer, now_ms
                return
        self._last.append(LastAnswer(nameserver, query_type, answer, now_ms))

    def last(self, nameserver: str) -> LastAnswer | None:
        """The last answer of a nameserver, for any type."""
        found = [last for last in self._last if last.nameserver == nameserver]
        return max(reversed(found), key=lambda last: last.when_ms, default=None)
