"""What was last asked and heard about one name: for people who want to know why. Pure.

Owns the last question, and the last answer of each nameserver about each type. Noting costs a few
stores: what it means is worked out by `explain/answers.py` when somebody asks.
"""

from __future__ import annotations

from collections.abc import Set

import msgspec

from resolverd.dns.answer import Answer, QueryType


class Heard(msgspec.Struct):
    """The last answer of one nameserver about one type."""

    query_type: QueryType
    answer: Answer
    when_ms: int


class History:
    """The last question about one name and its answers."""

    __slots__ = ("_former", "asked_ms", "begun_ms", "heard", "query_types", "unsent")

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.query_types: tuple[QueryType, ...] = ()  # asked at once
        self.begun_ms = 0  # of the run that goes on, or the last
        self.asked_ms = 0
        self.unsent: tuple[str, ...] = ()  # nameservers that the last question did not reach
        self.heard: dict[tuple[str, QueryType], Heard] = {}
        self._former: frozenset[str] = (
            frozenset()
        )  # until the last change: their late answers are not kept

    def follow(self, before: Set[str], after: Set[str]) -> None:
        """Other nameservers are asked: what former ones said is forgotten."""
        self._former = frozenset(before - after)
        self.heard = {key: heard for key, heard in self.heard.items() if key[0] in after}
        self.unsent = tuple(each for each in self.unsent if each in after)

    def asked(self, query_types: tuple[QueryType, ...], now_ms: int, unsent: list[str]) -> None:
        """A question went to all nameservers but those in `unsent`, after others of its moment."""
        self.query_types, self.asked_ms = query_types, now_ms
        before = self.unsent if len(query_types) > 1 else ()
        if unsent or self.unsent:
            self.unsent = tuple(dict.fromkeys((*before, *unsent)))

    def lost(self, nameserver: str) -> None:
        """The last question did not reach this one after all."""
        self.unsent = (*(each for each in self.unsent if each != nameserver), nameserver)

    def answered(self, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int) -> None:
        """A nameserver has answered."""
        if nameserver in self._former:
            return
        heard = self.heard.get((nameserver, query_type))
        if heard is None:
            self.heard[nameserver, query_type] = Heard(query_type, answer, now_ms)
        else:
            heard.answer, heard.when_ms = answer, now_ms

    def last(self, nameserver: str) -> Heard | None:
        """What a nameserver answered last, about whatever type."""
        said = [heard for (name, _), heard in self.heard.items() if name == nameserver]
        return max(reversed(said), key=lambda heard: heard.when_ms, default=None)
