"""How a server stands, and the servers that track it: what is told of one is told of all.

Reads the segment, as any process may, and decides nothing: server_news.py makes the lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.server_news import LoggedServer, ServerChange, Stand
from proxy.server_table import ServerTable
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import Operational
from shm.steady import steady


class Families:
    """The servers of a configuration, each with those that track it."""

    def __init__(self, servers: ServerTable, segment: Segment) -> None:
        self._servers = servers
        self._reader = SlotTableReader(segment)
        self._trackers: dict[int, list[int]] = {}
        for server in servers:
            if server.tracked_slot is not None:
                self._trackers.setdefault(server.tracked_slot, []).append(server.slot)

    def of(self, slot: int) -> Iterator[int]:
        """A server, then its trackers: the last of the file first, each with its own ones.

        A tracker may have been deleted meanwhile.
        """
        waiting = [slot]
        while waiting:
            member = waiting.pop()
            yield member
            trackers = self._trackers.get(member, ())
            waiting += (each for each in trackers if self._servers.get(each) is not None)

    def stands(self, slot: int) -> dict[int, Stand]:
        """How all of them stand; raises BlockingIOError."""
        return {member: self._stand(member) for member in self.of(slot)}

    def weighs(self, slot: int) -> bool:
        """Whether a server's weight is not 0; raises BlockingIOError."""
        return steady(self._reader.server, slot).weight > 0

    def _stand(self, slot: int) -> Stand:
        return Stand(*steady(self._reader.stand, slot))

    def before(self, slot: int, operational: int, after: dict[int, Stand]) -> dict[int, Stand]:
        """How they stood before a worker moved the first one from `operational`.

        A tracker stands as what it tracks, or down by its agent. Raises BlockingIOError.
        """
        stands: dict[int, Stand] = {}
        for member, stand in after.items():
            server, former = self._servers[member], operational
            tracked_slot = server.tracked_slot
            if member != slot:
                former = Operational.RUNNING
                if server.agent is not None:
                    former = steady(self._reader.health, member).operational
            if tracked_slot is not None and former != Operational.STOPPED:
                tracked = stands.get(tracked_slot) or self._stand(tracked_slot)
                former = tracked.operational
            stands[member] = stand._replace(operational=former)
        return stands

    def changes(
        self,
        before: dict[int, Stand],
        after: dict[int, Stand],
        *,
        why: str = "",
        touched: bool = False,
    ) -> list[ServerChange]:
        """The changes of a server and its trackers; `why` and `touched` are the first one's."""
        first = next(iter(after))
        return [
            ServerChange(
                self.subject(slot),
                before[slot],
                stand,
                self._reader.hint(slot),
                why if slot == first else "",
                touched and slot == first,
            )
            for slot, stand in after.items()
        ]

    def subject(self, slot: int) -> LoggedServer:
        """A server as lines name it."""
        server = self._servers[slot]
        proxy = self._servers.backends[server.backend_index]
        kind = "proxy" if proxy.kind == "listen" else "backend"
        return LoggedServer(server.name, proxy.name, kind, server.backend_index, server.track)
