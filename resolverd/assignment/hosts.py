"""Which server of a resolution has which address: accepted answers in, slot changes out. Pure.

Owns the records of valid answers, when each was last seen, and the rule that assigns them to
servers. Knows no socket, no clock, no segment and no query.

The rule, after each run that brought addresses:
1. A record is forgotten when it was unseen for longer than its family's ruling allows
   (resolution/hold_rules.py: `hold obsolete`; never while a failure of its family is overlooked).
2. A server that holds a known record keeps it, whatever the order or preference (sticky). Of two
   servers of one backend that hold the same record, the first in the order of the file keeps it,
   unless duplicates are allowed. An address of init-addr that is no record stays while its family
   is protected.
3. Every other server takes the best record that no server of its backend holds: preferred family
   before preferred network before the order of the answers. Where duplicates are allowed, a better
   record that is held is taken before a worse one that is free, and equals are taken in turn.
4. A server without a record loses its address at once (RMAINT). Surplus records are ignored.

After a failed run nothing changes until the hold of that status has passed (resolution/leases.py
has its beginning); then every server loses its address (the configured port stays) and all records
are forgotten. Where two families are merged, each has a grace of its own, and the servers of an
expired family take free records of the other.

The servers of SRV targets and of names that an operator ordered join and leave.
"""

from __future__ import annotations

import bisect
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from resolverd.assignment.preference import Preference, preference_of
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import Address, Status
from resolverd.resolution.hold_rules import Grace, Ruling, same_grace
from shm.states import Cause


class AddressChange(msgspec.Struct, frozen=True):
    """One server gets its first address, another one, or loses it (`after` is None)."""

    server: ResolvedServer
    before: Address | None
    after: Address | None
    cause: Cause


_ERROR_CAUSES = {
    Status.NX: Cause.NX,
    Status.TIMEOUT: Cause.TIMEOUT,
    Status.REFUSED: Cause.REFUSED,
}


_NO_RECORD = {Family.IPV4: Cause.NO_RECORD, Family.IPV6: Cause.NO_RECORD}


def cause_of(status: Status) -> Cause:
    """The cause in the slot record of a server that loses its address by this failure."""
    return _ERROR_CAUSES.get(status, Cause.OTHER)


class Choice:
    """The records left for servers of one backend and one preference; walks them once."""

    def __init__(self, preference: Preference, records: Sequence[Address]) -> None:
        """`records` are all that are known, held ones included."""
        self._shares = preference.allow_dup_ip
        ranked = preference.ranked(records)
        if self._shares:  # only records of the best score are shared
            best = ranked[:1]
            ranked = [a for a in ranked if preference.score(a) == preference.score(best[0])]
        self._ranked = ranked
        self._next = 0
        self._turn = 0

    def take(self, held: set[Address]) -> Address | None:
        """The best record not in `held`; with duplicates allowed, else one in `held`, in turn."""
        while self._next < len(self._ranked):
            address = self._ranked[self._next]
            self._next += 1
            if address not in held:
                return address
        if not self._shares or not self._ranked:
            return None
        self._turn += 1
        return self._ranked[(self._turn - 1) % len(self._ranked)]


def assign(
    servers: Sequence[ResolvedServer],
    current: Mapping[int, Address | None],
    records: Iterable[Address],
    preferred: Family,
    kept: Collection[int] = (),
) -> dict[int, Address | None]:
    """The address of each server, by slot: the one that it holds, else a free one of its backend.

    The slots `kept` keep their address, even if it is no record.
    """
    known = list(records)
    there = set(known)
    held: dict[int, set[Address]] = {server.backend_index: set() for server in servers}
    result: dict[int, Address | None] = {}
    for server in servers:
        address = current.get(server.slot)
        if server.slot in kept:
            result[server.slot] = address
        elif address in there and (
            server.allow_dup_ip or address not in held[server.backend_index]
        ):
            held[server.backend_index].add(address)
            result[server.slot] = address
    choices: dict[tuple[int, Preference], Choice] = {}
    for server in servers:
        if server.slot in result:
            continue
        key = (server.backend_index, preference_of(server, preferred))
        if key not in choices:
            choices[key] = Choice(key[1], known)
        address = choices[key].take(held[server.backend_index])
        if address is not None:
            held[server.backend_index].add(address)
        result[server.slot] = address
    return result


_slot = operator.attrgetter("slot")


class Assignment:
    """The addresses of the servers of one resolution; `slots` maps a slot to its address."""

    __slots__ = (
        *("_complete", "_fewest", "_holds", "_joined_ms", "_preferred", "_servers", "_settled"),
        *("records", "repeated", "slots"),
    )

    def __init__(
        self,
        servers: tuple[ResolvedServer, ...],
        preferred: Family,
        holds: Holds,
        slots: Mapping[int, Address | None],
    ) -> None:
        """`slots` are the addresses at the start: of init-addr, or of a predecessor."""
        self._servers = sorted(servers, key=_slot)
        self._preferred = preferred
        self._holds = holds
        self._joined_ms: dict[int, int] = {}  # of those that are not of the configuration
        self.slots: dict[int, Address | None] = {
            server.slot: slots.get(server.slot) for server in servers
        }
        self.records: dict[Address, int] = {}
        self._fewest: int | None = None  # servers in the smallest backend, once counted
        self._complete = False  # `records` are those of an answer, not only a predecessor's
        self.repeated = False  # the last answer had the known records, all assigned before
        self._settled = False  # `slots` is what `assign` returns for these servers and records

    @property
    def servers(self) -> list[ResolvedServer]:
        """The servers of the resolution, in the order of the file."""
        return list(self._servers)

    def adopt(self, records: Mapping[Address, int]) -> None:
        """Add records that a predecessor had accepted, each with the time when it was last seen."""
        self.records |= records
        self._settled = False

    def join(self, server: ResolvedServer, address: Address | None, now_ms: int) -> None:
        """Add a server; it keeps `address` until `settle` or an answer."""
        if server.slot in self.slots:
            self.leave(server.slot)
        bisect.insort(self._servers, server, key=_slot)  # mostly at the end
        if now_ms:
            self._joined_ms[server.slot] = now_ms
        self.slots[server.slot] = address
        self._settled, self._fewest = False, None

    def leave(self, slot: int) -> None:
        """Remove a server; its address does not change."""
        del self._servers[bisect.bisect_left(self._servers, slot, key=_slot)], self.slots[slot]
        self._joined_ms.pop(slot, None)
        self._settled, self._fewest = False, None

    def settle(self) -> list[AddressChange]:
        """Assign the known records to the servers that have joined.

        Before the first answer the records are only those that a predecessor's servers held, so no
        server loses an address because it is none of them.
        """
        if not self.records:
            return []
        if self._complete:
            return self._reassign()
        return self._reassign(
            {
                slot
                for slot, address in self.slots.items()
                if address is not None and address not in self.records
            }
        )

    def heard(self, ruling: Ruling, now_ms: int) -> list[AddressChange]:
        """Apply a run that brought addresses."""
        self._complete = True
        seen = dict.fromkeys(ruling.seen, now_ms)
        if self._settled and seen.keys() == self.records.keys():  # nearly always
            # not dict.fromkeys, which makes room for twice as many
            self.records = {address: now_ms for address in self.records}  # noqa: C420
            self.repeated = True
            return []
        self.repeated = False
        self.records = ruling.accept(self.records, now_ms)
        kept = {
            slot
            for slot, address in self.slots.items()
            if address is not None
            and address not in self.records
            and ruling.protects(address.family)
            and not self._joined_ms.get(slot)  # else the address is of its former name
        }
        return self._reassign(kept)

    def failed(self, status: Status, since_ms: int, now_ms: int) -> list[AddressChange]:
        """Apply a run that failed with `status`, whose hold began at `since_ms`."""
        return self.families_failed(same_grace(status, since_ms, self._holds), now_ms)

    def families_failed(self, graces: Mapping[Family, Grace], now_ms: int) -> list[AddressChange]:
        """Apply a failed run; each family has the grace of its own failure."""
        slots = dict(self.slots)
        for slot, address in slots.items():
            joined_ms = self._joined_ms.get(slot, 0)
            if address is not None and graces[address.family].is_over(now_ms, joined_ms):
                slots[slot] = None
        over = {family: grace.is_over(now_ms) for family, grace in graces.items()}
        self.records = {
            address: last_ms
            for address, last_ms in self.records.items()
            if not over[address.family]
        }
        self._settled = False
        if self.records and any(over.values()):
            kept = {slot for slot, each in slots.items() if each and each not in self.records}
            slots = assign(self.servers, slots, self.records, self._preferred, kept)
        causes = {family: cause_of(grace.status) for family, grace in graces.items()}
        return self._replace(slots, causes)

    def joined_ms(self, slot: int) -> int:
        """When the server joined; 0 for one of the configuration."""
        return self._joined_ms.get(slot, 0)

    @property
    def used(self) -> int:
        """How many servers have an address."""
        return sum(address is not None for address in self.slots.values())

    @property
    def missing(self) -> int:
        """Records less servers of the smallest backend, at least 0."""
        if not self._servers:
            return 0
        if self._fewest is None:
            per_backend = Counter(server.backend_index for server in self._servers)
            self._fewest = min(per_backend.values())
        return max(0, len(self.records) - self._fewest)

    def _reassign(self, kept: Collection[int] = ()) -> list[AddressChange]:
        slots = assign(self.servers, self.slots, self.records, self._preferred, kept)
        self._settled = not kept
        return self._replace(slots, _NO_RECORD)

    def _replace(
        self, slots: dict[int, Address | None], causes: Mapping[Family, Cause]
    ) -> list[AddressChange]:
        """`causes`: by family of its former address, why a server has none now."""
        before, self.slots = self.slots, slots
        changes = []
        for server in self._servers:
            was, has = before[server.slot], slots[server.slot]
            if was != has:
                cause = Cause.DNS if was is None or has is not None else causes[was.family]
                changes.append(AddressChange(server, was, has, cause))
        return changes
