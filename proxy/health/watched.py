"""One server of a checker's share as it is known now, and what its check is aimed at.

Must not know the relay.
"""

from __future__ import annotations

from typing import Generic

from proxy.config.model.settings import Global
from proxy.health import rise_fall
from proxy.health.attempts import A
from proxy.health.check import CheckTarget, Plan
from proxy.health.dialect.dialects import Factory
from proxy.health.share import CheckedServer
from proxy.health.timetable import first_due_ms
from shm.states import HealthState, ServerState

TEXT_MAX = 127  # bytes of what a server said, in HAProxy as here


class Watched(Generic[A]):
    """One server of the share, as the checker knows it now."""

    __slots__ = (
        "attempt",
        "dialect",
        "has_check",
        "held_as_slow",
        "plan",
        "revision",
        "server",
        "state",
        "target",
        "thresholds",
    )

    def __init__(self, server: CheckedServer, record: HealthState, dialect: Factory) -> None:
        self.server = server
        self.dialect = dialect
        self.thresholds = server.thresholds
        self.state = rise_fall.adopted(record, self.thresholds)
        self.revision = -1  # of the slot's records at the last look
        self.target: CheckTarget | None = None  # None: nowhere to connect to
        self.attempt: A | None = None
        self.plan: Plan | None = None  # for its present target
        self.has_check = server.checked  # and no order suspends it
        self.held_as_slow = False  # the attempt counts among those of slow servers

    @property
    def slow(self) -> bool:
        """Whether its next check is likely to take all of its time, or does not matter so much."""
        return rise_fall.is_down(self.state) or rise_fall.timed_out(self.state)

    @property
    def interval_ms(self) -> int:
        """Until the next check, as the health is now."""
        return rise_fall.interval_ms(self.state, self.thresholds, self.server.check)


def first_check_ms(
    watched: Watched[A], words: Global, began_ms: int, at_ms: int, *, carried: bool
) -> int:
    """Where a former worker's timetable had it, else spread over the interval."""
    checked_ms, span_ms = watched.state.checked_ms, watched.interval_ms
    if carried and checked_ms != 0 and at_ms < checked_ms + 2 * span_ms:
        return max(at_ms, checked_ms + span_ms)
    if words.max_spread_checks_ms is not None:
        span_ms = min(span_ms, words.max_spread_checks_ms)
    return first_due_ms(began_ms, span_ms, watched.server.position, watched.server.count)


def cut(text: str) -> str:
    """As much of a check's text as HAProxy keeps: so many bytes up to a NUL."""
    if not text:
        return text
    whole = text.partition("\0")[0].encode(errors="surrogateescape")
    return whole[:TEXT_MAX].decode(errors="surrogateescape")


def target_of(server: CheckedServer, view: ServerState) -> CheckTarget | None:
    """What the check of a server is aimed at; None while it must not be checked.

    A program is given the server's own address, whatever `addr` and `port` of its line say.
    """
    if server.local is not None and (server.check.address is None or server.by_program):
        return None if view.maint else CheckTarget(server.local.local_name, 0)
    host = server.check.address or view.address
    port = server.check.port or view.port
    nowhere = server.checked and port == 0 and not (server.rules and server.rules.names_ports)
    if view.maint or host is None or nowhere:
        return None
    if server.by_program and view.address is not None:
        return CheckTarget(view.address, view.port)
    return CheckTarget(host, port)
