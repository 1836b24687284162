"""Which server of an SRV label is attached to which record: answers in, changes out. Pure.

Owns the SRV records of valid answers, when each was last seen, and the attachments. Knows no
socket, no clock, no segment and no resolution of a target.

A record is identified by target and port. The rule, after each valid answer, for each backend:
1. A record unseen for longer than `hold obsolete` is forgotten and its server is free again. After
   a cut answer a record is forgotten only if it was unseen for that answer's hold as well
   (leases.py); the next whole answer removes the others.
2. A server that is attached to a known record stays attached.
3. A record that comes back gets its former server, if that is still free; any other takes the
   server that has been free for longest. Without a free server the record is surplus.
4. The weight of a server is (w + 255) / 256 of its record's. 0 drains, unless all weights of the
   answer are 0: then each is 1, and so is a 0 of a server that follows RFC 2782. A server that
   ignores weights keeps the configured one.
5. The addresses of a target in the additional section are used at once. Records of one target
   share them in turn; a server that has one of them keeps it. Without any, the target is to be
   resolved (`address` is None).
6. Where servers follow priorities, free ones go to the lowest numbers first. Of the records that
   have a server of the backend, those with the lowest number are active, the others backups; no
   record loses its server for its priority. A record of unknown priority (a predecessor's) stays
   active or backup, as it was.

After a failed run nothing changes within the hold of that status; then all servers are free and all
records are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from resolverd.assignment.preference import Preference, preference_of
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import Address, Answer, Status
from resolverd.resolution.hold_rules import hold_ms

WEIGHT_STEP = 256  # of an SRV weight: 65535 becomes 256, a server's largest
WEIGHT_CONFIGURED = -1  # in a slot record: the weight of the configuration

Key = tuple[str, int]  # target, port
NOTHING_RESOLVED: Mapping[int, Address] = {}
Best = dict[tuple[int, Preference], list[Address]]  # by target's addresses: those of best score


class Attachment(msgspec.Struct, frozen=True):
    """A server's part in a record; `address` is None where the target is to be resolved."""

    target: str
    port: int
    weight: int
    address: Address | None = None
    backup: bool = False  # by its priority

    @property
    def key(self) -> Key:
        """The identity of the record."""
        return self.target, self.port


class ServiceChange(msgspec.Struct, frozen=True):
    """One server is attached, gets other values of its record, or is free (`after` is None)."""

    server: ResolvedServer
    before: Attachment | None
    after: Attachment | None


class KnownRecord(msgspec.Struct):
    """One record as it was last seen.

    `kept_ms` is the least time that it may be unseen: 0 for a record of an answer, more for one
    from a predecessor or a state file.
    """

    weight: int
    addresses: tuple[Address, ...]
    seen_ms: int
    kept_ms: int  # after `seen_ms`
    priority: int | None  # None: a predecessor's record, the segment has no priorities


class Roster:
    """The servers of one backend: attached ones by record, free ones, former attachments."""

    def __init__(self) -> None:
        self.attached: dict[Key, int] = {}
        self.free: dict[int, None] = {}  # the one that has been free for longest is first
        self._former: dict[Key, int] = {}
        self._formerly: dict[int, Key] = {}

    def leave(self, slot: int) -> None:
        """Forget a server; the record that it had is unserved."""
        self.free.pop(slot, None)
        self.attached = {key: each for key, each in self.attached.items() if each != slot}
        former = self._formerly.pop(slot, None)
        if former is not None:
            del self._former[former]

    def release(self, key: Key) -> None:
        """Free the server of a forgotten record, which gets it again if it comes back."""
        slot = self.attached.pop(key)
        self.free[slot] = None
        self._former[key] = slot
        self._formerly[slot] = key

    def attach(self, key: Key, slot: int) -> None:
        """Attach the server to the record."""
        self.free.pop(slot, None)
        former = self._formerly.pop(slot, None)
        if former is not None:
            del self._former[former]
        self.attached[key] = slot

    def fill(self, keys: Iterable[Key]) -> None:
        """Attach free servers to the records that have none."""
        unserved = [key for key in keys if key not in self.attached]
        others = []
        for key in unserved:
            if key in self._former:
                self.attach(key, self._former[key])
            else:
                others.append(key)
        for key in others:
            if not self.free:
                return
            self.attach(key, next(iter(self.free)))


class ServiceAssignment:
    """The attachments of the servers of one label; `slots` maps a slot to its attachment."""

    def __init__(
        self,
        servers: tuple[ResolvedServer, ...],
        preferred: Family,
        families: tuple[Family, ...],
        holds: Holds,
    ) -> None:
        self._servers = {server.slot: server for server in servers}
        self._preferred = preferred
        self._families = families
        self._holds = holds
        self._rosters: dict[int, Roster] = {}
        self._all_zero: bool | None = None  # weights of the last valid answer; None: there was none
        self.slots: dict[int, Attachment | None] = {}
        self.records: dict[Key, KnownRecord] = {}
        for server in servers:
            self.join(server)

    @property
    def servers(self) -> list[ResolvedServer]:
        """All servers of the label, those that joined at run time last."""
        return list(self._servers.values())

    def join(self, server: ResolvedServer) -> None:
        """Add a server, free at first: `adopt`, `settle` or an answer attach it."""
        self._servers[server.slot] = server
        self.slots[server.slot] = None
        self._rosters.setdefault(server.backend_index, Roster()).free[server.slot] = None

    def leave(self, slot: int) -> None:
        """Remove a server; `settle` gives its record to a free one."""
        index = self._servers.pop(slot).backend_index
        del self.slots[slot]
        self._rosters[index].leave(slot)
        if all(server.backend_index != index for server in self._servers.values()):
            del self._rosters[index]

    def settle(self, resolved: Mapping[int, Address]) -> list[ServiceChange]:
        """Attach free servers to records of the last valid answer; `resolved` as for `valid`."""
        if self._all_zero is None:
            return []
        for roster in self._rosters.values():
            roster.fill(self._in_turn())
        return self._replace(self._attachments(resolved))

    def adopt(self, slot: int, was: Attachment, seen_ms: int, kept_ms: int) -> None:
        """Attach a server as a predecessor or a state file had it.

        The record was last seen at `seen_ms` and may be unseen for `kept_ms`, or for `hold
        obsolete` if that is longer.
        """
        roster = self._rosters[self._servers[slot].backend_index]
        if was.key in roster.attached:
            return  # one server for each record: the first in the file
        known = KnownRecord(max(0, was.weight) * WEIGHT_STEP, (), seen_ms, kept_ms, None)
        self.records.setdefault(was.key, known)
        roster.attach(was.key, slot)
        self.slots[slot] = was

    def valid(
        self,
        answer: Answer,
        now_ms: int,
        resolved: Mapping[int, Address] = NOTHING_RESOLVED,
        *,
        cut_ms: int = 0,
    ) -> list[ServiceChange]:
        """Apply a valid answer; a cut one removes only records that were unseen for `cut_ms`.

        `resolved` are the addresses of servers whose target has a resolution of its own, by slot.
        """
        accepted: dict[int, tuple[Address, ...]] = {}  # records with one target share its addresses
        for service in answer.services:
            addresses = accepted.get(id(service.addresses))
            if addresses is None:
                addresses = tuple(a for a in service.addresses if a.family in self._families)
                accepted[id(service.addresses)] = addresses
            key = (service.target, service.port)
            known = KnownRecord(service.weight, addresses, now_ms, 0, service.priority)
            self.records[key] = known
        unseen_ms = max(self._holds.obsolete_ms, cut_ms if answer.partial else 0)
        for key, known in list(self.records.items()):
            if known.seen_ms + max(known.kept_ms, unseen_ms) < now_ms:
                del self.records[key]
        for roster in self._rosters.values():
            for key in [key for key in roster.attached if key not in self.records]:
                roster.release(key)
            roster.fill(self._in_turn())
        self._all_zero = not any(service.weight for service in answer.services)
        return self._replace(self._attachments(resolved))

    def failed(self, status: Status, since_ms: int, now_ms: int) -> list[ServiceChange]:
        """Apply a run that failed with `status`, whose hold began at `since_ms`."""
        if not self.is_over(status, since_ms, now_ms):
            return []
        self.records = {}
        for roster in self._rosters.values():
            for key in list(roster.attached):
                roster.release(key)
        return self._replace(dict.fromkeys(self._servers))

    def is_over(self, status: Status, since_ms: int, now_ms: int) -> bool:
        """Whether the hold of this status has passed."""
        return since_ms + hold_ms(self._holds, status) <= now_ms

    def holders(self, key: Key) -> list[ResolvedServer]:
        """The servers attached to this record, at most one of each backend."""
        slots = (roster.attached.get(key) for roster in self._rosters.values())
        return [self._servers[slot] for slot in slots if slot is not None]

    @property
    def used(self) -> int:
        """How many servers are attached."""
        return sum(len(roster.attached) for roster in self._rosters.values())

    @property
    def missing(self) -> int:
        """Records less attached servers, of the backend with the fewest."""
        attached = (len(roster.attached) for roster in self._rosters.values())
        return len(self.records) - min(attached, default=len(self.records))

    def _attachments(self, resolved: Mapping[int, Address]) -> dict[int, Attachment | None]:
        slots: dict[int, Attachment | None] = dict.fromkeys(self._servers)
        numbers = self._numbers()
        best: Best = {}
        for roster in self._rosters.values():
            first = self._first_priority(roster)
            for key, slot in roster.attached.items():
                server, known = self._servers[slot], self.records[key]
                weight = (known.weight + WEIGHT_STEP - 1) // WEIGHT_STEP
                if server.ignore_weight:
                    weight = WEIGHT_CONFIGURED
                elif self._all_zero or server.rfc_weight:
                    weight = max(1, weight)
                address = None
                if known.addresses:
                    address = self._present(slot, key, resolved)
                    if address not in known.addresses:
                        address = self._address(server, known, numbers[key], best)
                backup = self._is_backup(server, known, first)
                slots[slot] = Attachment(*key, weight, address, backup)
        return slots

    def _in_turn(self) -> list[Key]:
        """The records in the order in which free servers are attached."""
        keys = list(self.records)
        if any(server.srv_priority for server in self._servers.values()):
            keys.sort(key=lambda key: self.records[key].priority or 0)
        return keys

    def _first_priority(self, roster: Roster) -> int:
        """The lowest number among the records that have a server of this backend."""
        priorities = (self.records[key].priority for key in roster.attached)
        return min((number for number in priorities if number is not None), default=0)

    def _is_backup(self, server: ResolvedServer, known: KnownRecord, first: int) -> bool:
        if not server.srv_priority:
            return False
        if known.priority is not None:
            return known.priority > first
        former = self.slots[server.slot]
        return former is not None and former.backup

    def _numbers(self) -> dict[Key, int]:
        """The position of each record among those of the same target, from 0."""
        seen: dict[str, int] = {}
        numbers: dict[Key, int] = {}
        for key in self.records:
            numbers[key] = seen.get(key[0], 0)
            seen[key[0]] = numbers[key] + 1
        return numbers

    def _present(self, slot: int, key: Key, resolved: Mapping[int, Address]) -> Address | None:
        """The address that the server has by this record or by its target's resolution."""
        former = self.slots[slot]
        if former is None or former.key != key:
            return None
        return resolved.get(slot) if former.address is None else former.address

    def _address(
        self, server: ResolvedServer, known: KnownRecord, number: int, best: Best
    ) -> Address:
        preference = preference_of(server, self._preferred)
        equals = best.get((id(known.addresses), preference))
        if equals is None:
            ranked = preference.ranked(known.addresses)
            score = preference.score(ranked[0])
            equals = [address for address in ranked if preference.score(address) == score]
            best[id(known.addresses), preference] = equals
        return equals[number % len(equals)]

    def _replace(self, slots: Mapping[int, Attachment | None]) -> list[ServiceChange]:
        before, self.slots = self.slots, dict(slots)
        return [
            ServiceChange(server, before[slot], slots[slot])
            for slot, server in self._servers.items()
            if before[slot] != slots[slot]
        ]
