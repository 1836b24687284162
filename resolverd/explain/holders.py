"""The holders of each record of one name, and why: a view of host names, another of SRV labels.

Built for one answer to control, from the assignments at that moment; reads only.
"""

from __future__ import annotations

from resolverd.assignment.preference import Preference, preference_of
from resolverd.assignment.services import Key
from resolverd.config import ResolvedServer
from resolverd.dns.answer import Address
from resolverd.explain.reasons import (
    Reason,
    family_hold,
    has_failed,
    why_address,
    why_refused,
    why_service,
)
from resolverd.names.host import ResolvedName
from resolverd.names.service import ResolvedService
from resolverd.records.schema import Record, Why

HOLDERS_MAX = 8  # servers named beside their record; the others are counted
REFUSED_MAX = 8  # backends without it likewise: thousands may share a name, a page is 64 KiB
ADDRESSES_MAX = 32  # of the target of an SRV record, likewise


def server_name(server: ResolvedServer) -> str:
    """`backend/server`, as in commands and log lines."""
    return f"{server.backend_name}/{server.server_name}"


class HostHolders:
    """The holders of the records of one host name."""

    def __init__(self, name: ResolvedName) -> None:
        self._name = name
        self.servers = name.assignment.servers
        self._records = list(name.assignment.records)
        self.count = len(self._records)
        self._first: dict[str, ResolvedServer] = {}  # of each backend
        self._held: dict[str, set[Address]] = {}
        self._holders: dict[Address, list[ResolvedServer]] = {}
        self._free: dict[tuple[str, Preference], Address | None] = {}
        for server in self.servers:
            self._first.setdefault(server.backend_name, server)
            held = self._held.setdefault(server.backend_name, set())
            address = name.assignment.slots[server.slot]
            if address is not None:
                held.add(address)
                self._holders.setdefault(address, []).append(server)

    def records(self, start: int, end: int, now_ms: int) -> list[Record]:
        """Part of the records, in the order in which they are known."""
        return [self._record(each, now_ms) for each in self._records[start:end]]

    def _record(self, address: Address, now_ms: int) -> Record:
        """One record and its holders."""
        name, holders = self._name, self._holders.get(address, [])
        seen_ms = name.assignment.records[address]
        gone = not has_failed(name.resolution) and seen_ms < name.resolution.last_valid_ms
        without = [each for each, held in self._held.items() if address not in held]
        refused = {
            backend: why_refused(name, self._first[backend], address, self._held[backend])
            for backend in without[:REFUSED_MAX]
        }
        left_ms = seen_ms + name.section.holds.obsolete_ms - now_ms
        if gone and (hold := family_hold(name, address.family, now_ms)):
            left_ms = max(left_ms, hold[1] or 0)
        return Record(
            address.text,
            now_ms - seen_ms,
            max(0, left_ms) if gone else None,
            [server_name(each) for each in holders[:HOLDERS_MAX]],
            max(0, len(holders) - HOLDERS_MAX),
            refused,
            max(0, len(without) - REFUSED_MAX),
        )

    def records_of(self, slot: int, now_ms: int) -> list[Record]:
        """The server's record, or none."""
        address = self._name.assignment.slots[slot]
        known = address is not None and address in self._name.assignment.records
        return [self._record(address, now_ms)] if known and address is not None else []

    def why(self, server: ResolvedServer, now_ms: int) -> Reason:
        """Why a server has its address or none."""
        name, backend = self._name, server.backend_name
        key = backend, preference_of(server, name.settings.preferred)
        if key not in self._free:
            left = [each for each in self._records if each not in self._held[backend]]
            self._free[key] = next(iter(key[1].ranked(left)), None)
        return why_address(name, server, self._free[key], now_ms)


class ServiceHolders:
    """The servers attached to the records of one SRV label."""

    def __init__(self, name: ResolvedService) -> None:
        self._name = name
        self.servers = name.assignment.servers
        self._records = list(name.assignment.records)
        self.count = len(self._records)
        self._backends = sorted({server.backend_name for server in self.servers})

    def records(self, start: int, end: int, now_ms: int) -> list[Record]:
        """Part of the records, in the order in which they are known."""
        return [self._record(each, now_ms) for each in self._records[start:end]]

    def _record(self, key: Key, now_ms: int) -> Record:
        """One record and its servers."""
        name = self._name
        known = name.assignment.records[key]
        gone = not has_failed(name.resolution) and known.seen_ms < name.resolution.last_valid_ms
        holders = name.assignment.holders(key)
        served = {server.backend_name for server in holders}
        without = [each for each in self._backends if each not in served]
        shown = known.addresses[:ADDRESSES_MAX]
        return Record(
            f"{key[0]}:{key[1]}",
            now_ms - known.seen_ms,
            max(0, known.seen_ms + known.kept_ms - now_ms) if gone else None,
            [server_name(each) for each in holders[:HOLDERS_MAX]],
            max(0, len(holders) - HOLDERS_MAX),
            dict.fromkeys(without[:REFUSED_MAX], Why.NO_SERVER),
            max(0, len(without) - REFUSED_MAX),
            known.weight,
            known.priority,
            [address.text for address in shown],
            len(known.addresses) - len(shown),
        )

    def records_of(self, slot: int, now_ms: int) -> list[Record]:
        """The record that the server is attached to, or none."""
        attachment = self._name.assignment.slots[slot]
        known = attachment is not None and attachment.key in self._name.assignment.records
        return [self._record(attachment.key, now_ms)] if known and attachment is not None else []

    def why(self, server: ResolvedServer, now_ms: int) -> Reason:
        """Why a server is attached to its record or to none."""
        return why_service(self._name, server.slot, now_ms)
