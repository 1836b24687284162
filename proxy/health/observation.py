"""Which servers have had too many errors of sessions in a row, for `observe layer4`.

A relay names the slot of such a server in the journal of changes, so only those are looked at.

Owns what was acted on already: HAProxy begins to count anew after each `error-limit` errors. Must
not know what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.health.share import CheckedServer
from shm.requests import ObservedReader
from shm.segment import Segment


class Observation:
    """The observed servers of one worker's share; errors count from the moment this is made."""

    def __init__(self, segment: Segment, servers: Iterable[CheckedServer]) -> None:
        self._reader = ObservedReader(segment)
        self._limits: dict[int, int] = {}
        self._acted: dict[int, int] = {}
        for server in servers:
            self.take(server)

    def take(self, server: CheckedServer) -> None:
        """One more server; its errors count from now on."""
        if server.check.error_limit:
            self._limits[server.slot] = server.check.error_limit
            self._acted[server.slot] = self._reader.errors(server.slot)[1]

    def drop(self, slot: int) -> None:
        """One server less, if it was observed."""
        self._limits.pop(slot, None)

    def over_limit(self, slot: int) -> bool:
        """Whether the server has reached its limit since the last time it had."""
        limit = self._limits.get(slot)
        if limit is None:
            return False
        streak, errors = self._reader.errors(slot)
        if min(streak, errors - self._acted[slot]) < limit:
            return False
        self._acted[slot] = errors
        return True
