"""One name from question to slots: its state machine, its servers and their records together.

Owns nothing but the two pure halves (resolution.py, assignment.py) and what of them is written to
the segment. Writes to the slot table, the resolution record, the counters and the log through what
it is given; opens no socket and reads no clock.

The record is written before the slots: a successor that finds both may then think a record
younger than it is, never older, so no hold is shortened by a kill in between.
"""

from __future__ import annotations

from collections.abc import Callable

from resolverd.answer import Address, Status
from resolverd.assignment import Assignment, Change
from resolverd.config import Family, ResolutionSettings, ResolversSection
from resolverd.messages import describe
from resolverd.resolution import Finished, Resolution
from shm.counters import CounterReader, NameserverTable
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import Cause, SlotFlag

Log = Callable[[int, str], None]  # syslog severity, text

FROM_ANSWERS = (Cause.DNS, Cause.CARRIED)  # addresses that a valid answer brought


class ResolvedName:
    """A resolution with its servers; `finish` turns the end of a run into slots."""

    def __init__(
        self,
        settings: ResolutionSettings,
        section: ResolversSection,
        families: tuple[Family, ...],
        log: Log,
        now_ms: int,
    ) -> None:
        """Nothing is known yet; call `carry_on` before the first event."""
        self.settings = settings
        self.section = section
        self.resolution = Resolution(settings, section, families, now_ms)
        self.assignment = Assignment(settings.servers, settings.preferred, section.holds, {})
        self._rows = {nameserver.name: nameserver.index for nameserver in section.nameservers}
        self._log = log
        self._runs = 0
        self._triggers = 0
        self._records_seen = 0

    def carry_on(
        self, slots: SlotTableReader, counters: CounterReader, table: NameserverTable
    ) -> None:
        """Take over what the segment says: a predecessor's state, or init-addr's addresses."""
        record = counters.resolution(self.settings.index)
        self._runs, self._triggers = record["runs"], record["triggers"]
        self._records_seen = record["records_seen"]
        if record["last_valid_ms"] == 0:
            table.record(self.settings.index, last_valid_ms=self.resolution.last_valid_ms)
        else:
            status = Status(record["status"]) if record["status"] else None
            self.resolution.restore(record["last_valid_ms"], record["last_run_ms"], status)
        learned = {}
        for server in self.settings.servers:
            slot = slots.slot(server.slot)
            address = None if slot.address is None else Address.parse(slot.address)
            self.assignment.slots[server.slot] = address
            if address is not None and slot.cause in FROM_ANSWERS:
                learned[address] = self.resolution.last_valid_ms
        self.assignment.adopt(learned)

    def triggered(self, table: NameserverTable) -> None:
        """A failed connect has started a run."""
        self._triggers += 1
        table.record(self.settings.index, triggers=self._triggers)

    def finish(
        self, finished: Finished, slots: SlotTableWriter, table: NameserverTable, now_ms: int
    ) -> bool:
        """A run has ended: record it, publish what changed; True if any slot did."""
        if finished.status is Status.VALID:
            changes = self.assignment.valid(finished.addresses, now_ms)
            self._records_seen = len(finished.addresses)
        else:
            last_valid_ms = self.resolution.last_valid_ms
            changes = self.assignment.failed(finished.status, last_valid_ms, now_ms)
        self._runs += 1
        table.record(
            self.settings.index,
            last_valid_ms=self.resolution.last_valid_ms,
            last_run_ms=now_ms,
            status=finished.status,
            records_seen=self._records_seen,
            slots_used=self.assignment.used,
            slots_missing=self.assignment.missing,
            runs=self._runs,
        )
        for change in changes:
            self._publish(change, slots, now_ms)
        if finished.nameserver and changes:
            moved = sum(change.after is not None for change in changes)
            table.count(self._rows[finished.nameserver], "update", moved)
        source = f"{self.section.name}/{finished.nameserver}"
        for change in changes:
            for level, text in describe(change, self.settings.name, source):
                self._log(level, text)
        return bool(changes)

    def _publish(self, change: Change, slots: SlotTableWriter, now_ms: int) -> None:
        slots.publish(
            change.server.slot,
            None if change.after is None else change.after.text,
            change.server.port,
            cause=change.cause,
            flags=SlotFlag.RMAINT if change.after is None else SlotFlag(0),
            now_ms=now_ms,
        )
