"""Nameservers with different answers, between which servers alternate: one line in the log.

Owns each nameserver's last answer that changed servers of a name. The log has a line when two
nameservers, each repeating its former answer, change the same servers in turn. A nameserver that
answers with another part of a pool each time does not repeat itself. The alternation has ended
after ENDED_MS and ENDED_RUNS runs without a turn; after that it is logged again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from resolverd.dns.answer import QueryType, Status
from resolverd.log.lines import describe_views
from resolverd.log.throttle import LogThrottle
from resolverd.names.added_rows import Resolved
from resolverd.resolution.actions import Finished
from shm.log_level import LogLevel

TURNS_MIN = 3  # in a row: a change of the zone may reach one nameserver before the other
ENDED_MS = 600_000
ENDED_RUNS = 10

View = tuple[str, ...]  # in their order


class Alternation(msgspec.Struct):
    """The turns of nameservers at the servers of one name, by one type."""

    last: str = ""  # the nameserver of the last turn
    said: tuple[tuple[str, View], ...] = ()  # by nameserver: mostly one
    in_a_row: int = 0
    last_ms: int = 0
    logged: bool = False


class Views:
    """Compares the answers at the end of each run."""

    def __init__(self, throttle: LogThrottle) -> None:
        self._throttle = throttle
        self._turns: dict[tuple[int, QueryType], Alternation] = {}

    def ended(self, key: int, name: Resolved, finished: Finished, now_ms: int) -> None:
        """A run has ended and its changes are published."""
        if not name.changed or len(name.section.nameservers) < 2 or finished.answer.partial:
            return
        services = _view(each.text for each in finished.answer.services)
        for outcome in finished.outcomes:
            if outcome.status is Status.VALID:
                said = services or _view(each.text for each in outcome.addresses)
                turns = self._turns.setdefault((key, outcome.query_type), Alternation())
                self._take_turn(turns, outcome.nameserver, said, name, now_ms)

    def forget(self, key: int) -> None:
        """Drop a name that no server has any more."""
        for query_type in QueryType:
            self._turns.pop((key, query_type), None)

    def _take_turn(
        self, turns: Alternation, nameserver: str, said: View, name: Resolved, now_ms: int
    ) -> None:
        former = dict(turns.said)
        other, others = turns.last, former.get(turns.last, said)
        repeated = former.get(nameserver) == said
        turns.last, turns.said = nameserver, tuple({**former, nameserver: said}.items())
        if other == nameserver or others == said or not repeated:
            turns.in_a_row = 0
            return
        period_ms = name.resolution.deadline_ms - now_ms
        if now_ms - turns.last_ms > max(ENDED_MS, ENDED_RUNS * period_ms):
            turns.in_a_row, turns.logged = 0, False
        turns.in_a_row, turns.last_ms = turns.in_a_row + 1, now_ms
        if turns.in_a_row < TURNS_MIN or turns.logged:
            return
        turns.logged = True
        section = name.section.name
        views = {nameserver: frozenset(said), other: frozenset(others)}
        text = describe_views(name.settings.name, section, views)
        subject = f"resolvers {section}"
        self._throttle.log(subject, LogLevel.WARNING, text, now_ms, more="lines about names")


def _view(texts: Iterable[str]) -> View:
    return tuple(sorted({*texts}))
