"""One SRV label from question to slots: joins its state machine with its servers' records.

Owns the two pure halves (resolution/resolution.py, assignment/services.py) and publishes their
changes. A server whose record came without an address gets a resolution of its target; with an
address it has none. Opens no socket and reads no clock.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from resolverd.assignment.departures import Departures
from resolverd.assignment.hosts import cause_of
from resolverd.assignment.services import Attachment, Key, ServiceAssignment, ServiceChange
from resolverd.board import Board
from resolverd.config import (
    Family,
    ResolutionSettings,
    ResolvedServer,
    ResolversSection,
    names_of,
    rows_of,
)
from resolverd.dns.answer import Address, Answer, Status
from resolverd.log.lines import FROM_ADDITIONAL
from resolverd.names.slot_publisher import Served, ServedServers
from resolverd.records.history import History
from resolverd.records.resolution_record import ResolutionCounts
from resolverd.resolution.actions import Finished
from resolverd.resolution.hold_rules import hold_ms
from resolverd.resolution.resolution import Resolution
from shm.log_level import Log
from shm.states import Cause


class Targets(Protocol):
    """Resolutions of the targets of records."""

    def need(self, server: ResolvedServer, name: str, now_ms: int, since_ms: int = 0) -> None:
        """Feed the server from a host name, since `since_ms` (0: from now on)."""

    def release(self, slot: int) -> None:
        """Detach the server from its host name."""

    def settle(self, now_ms: int) -> None:
        """Assign known records to servers that have joined, drop names without a server."""


class ResolvedService:
    """A label with the servers that are attached to its records."""

    def __init__(
        self,
        settings: ResolutionSettings,
        section: ResolversSection,
        families: tuple[Family, ...],
        served: ServedServers,
        board: Board,
        *,
        log: Log,
        now_ms: int,
        targets: Targets,
        has_record: bool = True,
    ) -> None:
        """Call `carry_on` before the first event."""
        self.settings = settings
        self.section = section
        self.resolution = Resolution(settings, section, families, now_ms, service=True)
        self.assignment = ServiceAssignment(
            settings.servers, settings.preferred, families, section.holds
        )
        index = settings.index if has_record else None
        self.counts = ResolutionCounts(
            board, log, served.throttle, settings.name, section.name, index=index
        )
        self.permanent = has_record  # resolved also without a server
        self.changed = False  # whether the last run has changed a server
        self.history = History()
        self._departures: Departures[Key] = Departures()
        self._rows = rows_of(section.nameservers)
        self._served = served
        self._board = board
        self._targets = targets
        self._members = {server.slot: _for_target(server, settings) for server in settings.servers}

    def follow(self, section: ResolversSection) -> None:
        """The section has other nameservers; replies of former ones to open attempts count."""
        self.history.follow(names_of(self.section.nameservers), names_of(section.nameservers))
        self.section = section
        self._rows = {**self._rows, **rows_of(section.nameservers)}
        self.resolution.follow(section)

    def carry_on(self, now_ms: int) -> None:
        """Restore the attachments in the segment: of a predecessor, or of a state file."""
        self.counts.carry_on(self.resolution)
        for server in self.settings.servers:
            self._carry_on_with(self._served[server.slot], now_ms)

    def join(self, server: ResolvedServer, now_ms: int) -> None:
        """Add a server, with the record that a predecessor gave it."""
        self._members[server.slot] = _for_target(server, self.settings)
        self.assignment.join(server)
        self._carry_on_with(self._served[server.slot], now_ms)

    def leave(self, slot: int) -> None:
        """Remove a server, whose target nothing asks for any more on its account."""
        self._targets.release(slot)
        self.assignment.leave(slot)
        del self._members[slot]

    @property
    def needed(self) -> bool:
        """Whether the label is still to be resolved."""
        return self.permanent or bool(self.assignment.slots)

    def settle(self, now_ms: int) -> None:
        """Give the records of the last valid answer to servers that have joined or are left."""
        for change in self.assignment.settle(self._addresses()):
            self._follow(change, Cause.REMOVED, now_ms)

    def _carry_on_with(self, served: Served, now_ms: int) -> None:
        """Restore the record of one server, if it has one."""
        if served.target and served.port:
            self._restore(served, now_ms)
        elif served.target:  # a predecessor was killed while it took the record away, or gave it
            self._served.release(served.server.slot, Cause.REMOVED, now_ms)

    def _restore(self, served: Served, now_ms: int) -> None:
        """Attach a server to the record that an answer or a state file gave it."""
        slot, section = served.server.slot, self.section
        was = Attachment(
            served.target, served.port, served.weight, served.address, backup=served.backup
        )
        confirmed = served.cause != Cause.STATE_FILE
        kept_ms = section.timeout_resolve_ms + section.resolve_retries * section.timeout_retry_ms
        seen_ms = self.resolution.last_valid_ms
        if not confirmed:  # S54: kept for the length of one run, then answers decide
            seen_ms = now_ms
        self.assignment.adopt(slot, was, seen_ms, 0 if confirmed else kept_ms)
        if self.assignment.slots[slot] is None:
            self._served.release(
                slot, Cause.REMOVED, now_ms
            )  # another server of the backend has the same record
        elif served.address is None or served.target_stamp_ms:
            stamp_ms = served.target_stamp_ms
            self._targets.need(self._members[slot], served.target, now_ms, stamp_ms)
            self.assignment.slots[slot] = msgspec.structs.replace(was, address=None)

    def finish(self, finished: Finished, now_ms: int) -> None:
        """A run has ended: record it, publish what changed."""
        assignment, valid = self.assignment, finished.status is Status.VALID
        since_ms = self.resolution.leases.since_ms(hold_ms(self.section.holds, finished.status))
        former = {key: known.seen_ms for key, known in assignment.records.items()}
        if valid:
            cut_ms = self.resolution.leases.cut_ms(self.section.holds)
            resolved = self._resolved(finished.answer)
            changes = assignment.valid(finished.answer, now_ms, resolved, cut_ms=cut_ms)
        else:
            changes = assignment.failed(finished.status, since_ms, now_ms)
        self.changed = bool(changes)
        news = self.changed or not former.keys() >= assignment.records.keys()
        self.resolution.learned(news)
        self.counts.ended(
            self.resolution,
            len(finished.answer.services) if valid else None,
            len(assignment.records),
            assignment.used,
            assignment.missing,
        )
        cause = Cause.REMOVED if valid else cause_of(finished.status)
        updates = sum(self._follow(change, cause, now_ms) for change in changes)
        if valid:
            back = self._departures.compare(former, assignment.records, now_ms)
            self.counts.returned([(f"{key[0]}:{key[1]}", ms) for key, ms in back], self.section)
            if not finished.answer.partial:
                self._clear_unattached(cause, now_ms)
        elif assignment.is_over(finished.status, since_ms, now_ms):
            self._clear_unattached(cause, now_ms)
        self._targets.settle(now_ms)
        if updates and finished.nameserver:
            self._board.count(self._rows[finished.nameserver], "update", updates)

    def _resolved(self, answer: Answer) -> dict[int, Address]:
        """The addresses of servers by their target's resolution, if the answer has any as well."""
        if not any(service.addresses for service in answer.services):
            return {}
        return self._addresses()

    def _addresses(self) -> dict[int, Address]:
        """The addresses that servers have by their target's resolution."""
        return {
            slot: address
            for slot, attachment in self.assignment.slots.items()
            if attachment is not None and attachment.address is None
            if (address := self._served[slot].address) is not None
        }

    def _follow(self, change: ServiceChange, cause: Cause, now_ms: int) -> bool:
        """Apply a change; True if it gave the server another address."""
        slot, before, after = change.server.slot, change.before, change.after
        if after is None:
            self._targets.release(slot)
            self._served.release(slot, cause, now_ms)
            return False
        if before is None or before.key != after.key:
            self._targets.release(slot)
            self._served.attach(slot, after, now_ms)
            before = None
        elif (before.weight, before.backup) != (after.weight, after.backup):
            self._served.rate(slot, after, now_ms)
        if after.address is None:
            if before is None or before.address is not None:
                self._targets.need(self._members[slot], after.target, now_ms)
            return False
        self._targets.release(slot)
        self._served.confirm(slot, 0)
        moved = self._served[slot].address != after.address
        self._served.point(slot, after.address, Cause.DNS, FROM_ADDITIONAL, now_ms)
        return moved

    def _clear_unattached(self, cause: Cause, now_ms: int) -> None:
        """Take init-addr addresses from servers without a record, once a run has decided."""
        for slot, attachment in self.assignment.slots.items():
            if attachment is None and self._served[slot].address is not None:
                self._served.release(slot, cause, now_ms)


def _for_target(server: ResolvedServer, settings: ResolutionSettings) -> ResolvedServer:
    """The server's settings in the resolution of its target.

    Records of one target differ by port, so several servers may have its one address.
    """
    preferred = settings.preferred if server.preferred is Family.NONE else server.preferred
    return msgspec.structs.replace(server, preferred=preferred, allow_dup_ip=True)
