"""What was last asked and heard about one name: for people who want to know why. Pure.

Owns the last question, and the last answer of each nameserver. Noting costs a few stores: what it
means is worked out by `accounts.py` when somebody asks.
"""

from __future__ import annotations

import msgspec

from resolverd.answer import Answer, QueryType


class Heard(msgspec.Struct):
    """The last answer of one nameserver."""

    query_type: QueryType
    answer: Answer
    when_ms: int


class History:
    """The last question about one name and its answers."""

    __slots__ = ("asked_ms", "begun_ms", "heard", "query_type", "unsent")

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.query_type: QueryType | None = None
        self.begun_ms = 0  # of the run that goes on, or the last
        self.asked_ms = 0
        self.unsent: tuple[str, ...] = ()  # nameservers that the last question did not reach
        self.heard: dict[str, Heard] = {}

    def asked(self, query_type: QueryType, now_ms: int, unsent: list[str]) -> None:
        """A question went to all nameservers but those in `unsent`."""
        self.query_type, self.asked_ms = query_type, now_ms
        if unsent or self.unsent:
            self.unsent = tuple(unsent)

    def lost(self, nameserver: str) -> None:
        """The last question did not reach this one after all."""
        self.unsent = (*(each for each in self.unsent if each != nameserver), nameserver)

    def answered(self, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int) -> None:
        """A nameserver has answered."""
        heard = self.heard.get(nameserver)
        if heard is None:
            self.heard[nameserver] = Heard(query_type, answer, now_ms)
        else:
            heard.query_type, heard.answer, heard.when_ms = query_type, answer, now_ms
