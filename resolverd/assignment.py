"""Which server of a resolution has which address: accepted answers in, slot changes out. Pure.

Owns the records that valid answers have brought, when each was last seen, and the rule that turns
them into addresses. Knows no socket, no clock, no segment and nothing of queries.

The rule, after each valid answer:
1. A record unseen for longer than `hold obsolete` is forgotten; one that was seen never is.
2. A server that holds a known record keeps it, whatever the order or preference (sticky). Of two
   servers of one backend that hold the same record, the first in the order of the file keeps it.
3. Every other server takes a record that no server of its backend holds, preferred family first,
   in the order of the answers. A slot takes a whole address or none: nothing is left of the former.
4. No record left: the server is out for lack of an address, at once. Surplus records are ignored.

After a failed run nothing changes while the last valid answer is younger than the hold of that
status; then every server loses its address (the configured port stays) and all records go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from resolverd.answer import Address, Status
from resolverd.config import Family, Holds, ResolvedServer
from shm.states import Cause


class Change(msgspec.Struct, frozen=True):
    """One server gets another address, its first one, or loses it (`after` is None)."""

    server: ResolvedServer
    before: Address | None
    after: Address | None
    cause: Cause


_ERROR_CAUSES = {
    Status.NX: Cause.NX,
    Status.TIMEOUT: Cause.TIMEOUT,
    Status.REFUSED: Cause.REFUSED,
}


def hold_ms(holds: Holds, status: Status) -> int:
    """How long after a valid answer a failure of this kind is overlooked, milliseconds."""
    if status is Status.NX:
        return holds.nx_ms
    if status is Status.REFUSED:
        return holds.refused_ms
    if status is Status.TIMEOUT:
        return holds.timeout_ms
    return holds.other_ms


def accept(
    records: Mapping[Address, int], answer: Iterable[Address], obsolete_ms: int, now_ms: int
) -> dict[Address, int]:
    """The records known after a valid answer, each with the time when it was last seen."""
    seen = dict(records) | dict.fromkeys(answer, now_ms)
    return {address: last for address, last in seen.items() if last + obsolete_ms >= now_ms}


def assign(
    servers: Sequence[ResolvedServer],
    current: Mapping[int, Address | None],
    records: Iterable[Address],
    preferred: Family,
) -> dict[int, Address | None]:
    """The address of each server, by slot: sticky first, then what is free in its backend."""
    by_preference = sorted(records, key=lambda address: address.family != preferred)  # stable
    known = set(by_preference)
    held: dict[int, set[Address]] = {server.backend_index: set() for server in servers}
    result: dict[int, Address | None] = {}
    for server in servers:
        address = current.get(server.slot)
        if address in known and address not in held[server.backend_index]:
            held[server.backend_index].add(address)
            result[server.slot] = address
    # each backend walks the records once, whatever the number of its servers
    free = {
        backend: iter([address for address in by_preference if address not in taken])
        for backend, taken in held.items()
    }
    for server in servers:
        if server.slot not in result:
            result[server.slot] = next(free[server.backend_index], None)
    return result


class Assignment:
    """What the servers of one resolution hold; `slots` maps a slot to its address."""

    def __init__(
        self,
        servers: tuple[ResolvedServer, ...],
        preferred: Family,
        holds: Holds,
        slots: Mapping[int, Address | None],
    ) -> None:
        """Start from the addresses that the slots have (of init-addr, or of a predecessor)."""
        self._servers = servers
        self._preferred = preferred
        self._holds = holds
        self.slots: dict[int, Address | None] = {
            server.slot: slots.get(server.slot) for server in servers
        }
        self.records: dict[Address, int] = {}

    def adopt(self, records: Mapping[Address, int]) -> None:
        """Take over what a predecessor had accepted, each record with when it was last seen."""
        self.records = dict(records)

    def valid(self, answer: Iterable[Address], now_ms: int) -> list[Change]:
        """A valid answer has come."""
        self.records = accept(self.records, answer, self._holds.obsolete_ms, now_ms)
        slots = assign(self._servers, self.slots, self.records, self._preferred)
        return self._replace(slots, Cause.NO_RECORD)

    def failed(self, status: Status, last_valid_ms: int, now_ms: int) -> list[Change]:
        """A run has failed with `status`; the last valid answer was at `last_valid_ms`."""
        if last_valid_ms + hold_ms(self._holds, status) > now_ms:
            return []
        self.records = {}
        nothing: dict[int, Address | None] = dict.fromkeys(self.slots)
        return self._replace(nothing, _ERROR_CAUSES.get(status, Cause.OTHER))

    @property
    def used(self) -> int:
        """How many servers have an address."""
        return sum(address is not None for address in self.slots.values())

    @property
    def missing(self) -> int:
        """How many servers more the backend with the fewest would need to use every record."""
        if not self._servers:
            return 0
        per_backend = Counter(server.backend_index for server in self._servers)
        return max(0, len(self.records) - min(per_backend.values()))

    def _replace(self, slots: dict[int, Address | None], cause_of_none: Cause) -> list[Change]:
        before, self.slots = self.slots, slots
        return [
            Change(
                server,
                before[server.slot],
                slots[server.slot],
                cause_of_none if slots[server.slot] is None else Cause.DNS,
            )
            for server in self._servers
            if before[server.slot] != slots[server.slot]
        ]
