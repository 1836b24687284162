"""Which server of an SRV label stands for which record: accepted answers in, changes out. Pure.

Owns the SRV records that valid answers have brought, when each was last seen, and which server is
attached to which. Knows no socket, no clock, no segment, and nothing of how a target is resolved.

A record is known by target and port. The rule, after each valid answer, for each backend:
1. A record unseen for longer than `hold obsolete` is forgotten and its server is free again. A cut
   answer forgets only what has been unseen for its hold as well (leases.py); what it has kept goes
   with the next whole answer.
2. A server that is attached to a known record stays so.
3. A record that comes back gets its former server, if that is still free; any other takes the
   server that has been free for longest. No server free: the record is surplus.
4. Weights follow the records, (w + 255) / 256; 0 drains, unless the whole answer says 0: then each
   record weighs 1, and so does a 0 where the server follows RFC 2782. A server that ignores weights
   keeps the configured one.
5. What the additional section says of a target is its address at once. Records of one target share
   its addresses in turn; a server that has one of them keeps it, whoever said it first. Without
   any, the target is to be resolved on its own (`address` is None).
6. Where servers follow priorities, free ones go to the lowest numbers first. Of the records that
   have a server of the backend, those with the lowest number are active, the others backups; no
   record loses its server for its priority. One whose priority is not known yet (a predecessor's)
   stays what it is.

After a failed run nothing changes within the hold of that status; then all servers are free and all
records go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from resolverd.assignment.preference import Preference, preference_of
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import Address, Answer, Service, Status
from resolverd.resolution.hold_rules import hold_ms

WEIGHT_STEP = 256  # of an SRV weight: 65535 becomes 256, a server's largest
WEIGHT_CONFIGURED = -1  # what a slot record says for "as the configuration says"

Key = tuple[str, int]  # target, port
NOTHING_RESOLVED: Mapping[int, Address] = {}
Best = dict[tuple[int, Preference], list[Address]]  # which of these addresses such servers want


class Attachment(msgspec.Struct, frozen=True):
    """What a record says of its server; `address` is None where the target is to be resolved."""

    target: str
    port: int
    weight: int
    address: Address | None = None
    backup: bool = False  # by its priority

    @property
    def key(self) -> Key:
        """The record."""
        return self.target, self.port


class ServiceChange(msgspec.Struct, frozen=True):
    """One server is attached, told something else, or free again (`after` is None)."""

    server: ResolvedServer
    before: Attachment | None
    after: Attachment | None


class Known(msgspec.Struct):
    """One record: what it said last, when, and for how long it may be unseen at least.

    `kept_ms` is 0 but for a predecessor's or a state file's, until an answer has it.
    """

    weight: int
    addresses: tuple[Address, ...]
    seen_ms: int
    kept_ms: int  # after `seen_ms`
    priority: int | None  # None: nobody has said it since a predecessor died


class Roster:
    """The servers of one backend: who is attached to what, who is free, who was what before."""

    def __init__(self) -> None:
        """Without servers."""
        self.attached: dict[Key, int] = {}
        self.free: dict[int, None] = {}  # the one that has been free for longest is first
        self._former: dict[Key, int] = {}
        self._formerly: dict[int, Key] = {}

    def release(self, key: Key) -> None:
        """The record is gone; its server is free, and first in line should it come back."""
        slot = self.attached.pop(key)
        self.free[slot] = None
        self._former[key] = slot
        self._formerly[slot] = key

    def attach(self, key: Key, slot: int) -> None:
        """The server stands for the record from now on."""
        self.free.pop(slot, None)
        former = self._formerly.pop(slot, None)
        if former is not None:
            del self._former[former]
        self.attached[key] = slot

    def fill(self, keys: Iterable[Key]) -> None:
        """Find servers for all records that have none, while there are any."""
        unserved = [key for key in keys if key not in self.attached]
        strangers = []
        for key in unserved:
            if key in self._former:
                self.attach(key, self._former[key])
            else:
                strangers.append(key)
        for key in strangers:
            if not self.free:
                return
            self.attach(key, next(iter(self.free)))


class ServiceAssignment:
    """What the servers of one label stand for; `slots` maps a slot to its attachment."""

    def __init__(
        self,
        servers: tuple[ResolvedServer, ...],
        preferred: Family,
        families: tuple[Family, ...],
        holds: Holds,
    ) -> None:
        """All servers are free."""
        self._servers = {server.slot: server for server in servers}
        self._preferred = preferred
        self._families = families
        self._holds = holds
        self._by_priority = any(server.srv_priority for server in servers)
        self._rosters: dict[int, Roster] = {}
        self.slots: dict[int, Attachment | None] = dict.fromkeys(self._servers)
        self.records: dict[Key, Known] = {}
        for server in servers:
            self._rosters.setdefault(server.backend_index, Roster()).free[server.slot] = None

    def adopt(self, slot: int, was: Attachment, seen_ms: int, kept_ms: int) -> None:
        """A server stands for a record already: a predecessor's, or a state file's.

        The record was last seen at `seen_ms` and stays for `kept_ms` more, or `hold obsolete` if
        that is longer, though answers are without it.
        """
        roster = self._rosters[self._servers[slot].backend_index]
        if was.key in roster.attached:
            return  # nobody else may be the same record; the first in the file is
        known = Known(max(0, was.weight) * WEIGHT_STEP, (), seen_ms, kept_ms, None)
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
        """A valid answer has come; a cut one removes only what has been unseen for `cut_ms`.

        `resolved` are the addresses of servers whose target is resolved on its own, by slot.
        """
        accepted: dict[int, tuple[Address, ...]] = {}  # records with one target share its addresses
        for service in answer.services:
            addresses = accepted.get(id(service.addresses))
            if addresses is None:
                addresses = tuple(a for a in service.addresses if a.family in self._families)
                accepted[id(service.addresses)] = addresses
            key = (service.target, service.port)
            known = Known(service.weight, addresses, now_ms, 0, service.priority)
            self.records[key] = known
        unseen_ms = max(self._holds.obsolete_ms, cut_ms if answer.partial else 0)
        for key, known in list(self.records.items()):
            if known.seen_ms + max(known.kept_ms, unseen_ms) < now_ms:
                del self.records[key]
        for roster in self._rosters.values():
            for key in [key for key in roster.attached if key not in self.records]:
                roster.release(key)
            roster.fill(self._in_turn())
        return self._replace(self._attachments(answer.services, resolved))

    def failed(self, status: Status, since_ms: int, now_ms: int) -> list[ServiceChange]:
        """A run has failed with `status`, whose hold counts since `since_ms`."""
        if not self.is_over(status, since_ms, now_ms):
            return []
        self.records = {}
        for roster in self._rosters.values():
            for key in list(roster.attached):
                roster.release(key)
        return self._replace(dict.fromkeys(self._servers))

    def is_over(self, status: Status, since_ms: int, now_ms: int) -> bool:
        """Whether a failure of this kind is overlooked no longer."""
        return since_ms + hold_ms(self._holds, status) <= now_ms

    def holders(self, key: Key) -> list[ResolvedServer]:
        """The servers that stand for this record, one of each backend at most."""
        slots = (roster.attached.get(key) for roster in self._rosters.values())
        return [self._servers[slot] for slot in slots if slot is not None]

    @property
    def used(self) -> int:
        """How many servers stand for a record."""
        return sum(len(roster.attached) for roster in self._rosters.values())

    @property
    def missing(self) -> int:
        """How many servers more the backend with the fewest would need for every record."""
        attached = (len(roster.attached) for roster in self._rosters.values())
        return len(self.records) - min(attached, default=len(self.records))

    def _attachments(
        self, services: Iterable[Service], resolved: Mapping[int, Address]
    ) -> dict[int, Attachment | None]:
        nobody_weighs = not any(service.weight for service in services)
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
                elif nobody_weighs or server.rfc_weight:
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
        """The records in the order in which they get servers."""
        keys = list(self.records)
        if self._by_priority:
            keys.sort(key=lambda key: self.records[key].priority or 0)
        return keys

    def _first_priority(self, roster: Roster) -> int:
        """The lowest number among the records that have a server of this backend."""
        priorities = (self.records[key].priority for key in roster.attached)
        return min((number for number in priorities if number is not None), default=0)

    def _is_backup(self, server: ResolvedServer, known: Known, first: int) -> bool:
        if not server.srv_priority:
            return False
        if known.priority is not None:
            return known.priority > first
        former = self.slots[server.slot]
        return former is not None and former.backup

    def _numbers(self) -> dict[Key, int]:
        """Of several records with one target: which of them each is, from 0."""
        seen: dict[str, int] = {}
        numbers: dict[Key, int] = {}
        for key in self.records:
            numbers[key] = seen.get(key[0], 0)
            seen[key[0]] = numbers[key] + 1
        return numbers

    def _present(self, slot: int, key: Key, resolved: Mapping[int, Address]) -> Address | None:
        """Where the server is already by this record or its target."""
        former = self.slots[slot]
        if former is None or former.key != key:
            return None
        return resolved.get(slot) if former.address is None else former.address

    def _address(self, server: ResolvedServer, known: Known, number: int, best: Best) -> Address:
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
