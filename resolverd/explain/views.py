"""Nameservers that answer differently, so that servers move with whoever answers first: told once.

Owns what each nameserver said of a name when servers last changed by it. Told is what repeats: two
nameservers, each of which says again what it said before, take turns at the same servers. A
nameserver that shows another part of a pool each time does not repeat itself. It has ended when no
turn was seen for ENDED_MS and for ENDED_RUNS runs; if it comes back after that it is told again.
"""

from __future__ import annotations

import msgspec

from resolverd.dns.answer import QueryType, Status
from resolverd.log.lines import WARNING, describe_views
from resolverd.log.throttle import Quiet
from resolverd.names.registry import Resolved
from resolverd.resolution.actions import Finished

TURNS_MIN = 3  # in a row: a change that reaches one nameserver before the other is none
ENDED_MS = 600_000
ENDED_RUNS = 10

View = frozenset[str]


class Turns(msgspec.Struct):
    """Who has changed the servers of one name, by one type."""

    last: str = ""  # nameserver
    said: dict[str, View] = {}
    in_a_row: int = 0
    last_ms: int = 0
    told: bool = False


class Views:
    """Follows the ends of all runs."""

    def __init__(self, quiet: Quiet) -> None:
        """All nameservers agree."""
        self._quiet = quiet
        self._turns: dict[int, dict[QueryType, Turns]] = {}

    def ended(self, key: int, name: Resolved, finished: Finished, now_ms: int) -> None:
        """A run has ended and its servers are told."""
        if not name.changed or len(name.section.nameservers) < 2 or finished.answer.partial:
            return
        services = frozenset(each.text for each in finished.answer.services)
        for outcome in finished.outcomes:
            if outcome.status is Status.VALID:
                said = services or frozenset(each.text for each in outcome.addresses)
                turns = self._turns.setdefault(key, {}).setdefault(outcome.query_type, Turns())
                self._take_turn(turns, outcome.nameserver, said, name, now_ms)

    def forget(self, key: int) -> None:
        """The name is needed no longer."""
        self._turns.pop(key, None)

    def _take_turn(
        self, turns: Turns, nameserver: str, said: View, name: Resolved, now_ms: int
    ) -> None:
        other, others = turns.last, turns.said.get(turns.last, said)
        repeated = turns.said.get(nameserver) == said
        turns.last, turns.said[nameserver] = nameserver, said
        if other == nameserver or others == said or not repeated:
            turns.in_a_row = 0
            return
        period_ms = name.resolution.deadline_ms - now_ms
        if now_ms - turns.last_ms > max(ENDED_MS, ENDED_RUNS * period_ms):
            turns.in_a_row, turns.told = 0, False
        turns.in_a_row, turns.last_ms = turns.in_a_row + 1, now_ms
        if turns.in_a_row < TURNS_MIN or turns.told:
            return
        turns.told = True
        section = name.section.name
        text = describe_views(name.settings.name, section, {nameserver: said, other: others})
        subject = f"resolvers {section}"
        self._quiet.say(subject, WARNING, text, now_ms, more="lines about names")
