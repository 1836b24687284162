"""The segment as resolverd sees it: records that it reads at the start, and those that it writes.

Owns only the calls of shm's readers and writers. The rest of the package knows the protocol
`Board`; the simulation in the tests implements it without shared memory.
"""

from __future__ import annotations

from typing import Protocol

from shm.counters import CounterReader, NameserverTable
from shm.histograms import HistogramWriter
from shm.names import NameReader, TargetWriter
from shm.segment import Segment
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import NameState, ServerState, SlotState


class Board(Protocol):
    """Slot records, names of slots, resolution records and nameserver counters."""

    def slot(self, slot: int) -> SlotState:
        """The slot record."""

    def target(self, slot: int) -> NameState:
        """The name that an SRV record or the operator gave the slot."""

    def server(self, slot: int) -> ServerState:
        """The state composed of all records of the slot."""

    def usable(self, backend: int) -> tuple[int, int]:
        """How many active and backup servers of a backend take sessions."""

    def sessions(self, slot: int) -> int:
        """Sessions open to the slot over all workers: a hint (shm/layout.pxd)."""

    def resolution(self, index: int) -> dict[str, int]:
        """The record of a resolution of the configuration."""

    def publish(
        self,
        slot: int,
        address: str | None,
        port: int,
        *,
        weight: int,
        cause: int,
        flags: int,
        now_ms: int,
    ) -> bool:
        """Publish a slot record; False if it is equal to the present one."""

    def publish_target(self, slot: int, name: str, stamp_ms: int) -> None:
        """Publish the name of a slot and when it was last resolved."""

    def record(self, index: int, **fields: int) -> None:
        """Store fields of a resolution record."""

    def count(self, nameserver: int, counter: str, amount: int = 1) -> None:
        """Add to a counter of a nameserver."""

    def observe(self, section: int, which: int, bucket: int, milliseconds: int) -> None:
        """Count a duration in a histogram of a section."""


class SegmentBoard:
    """The board in the segment. resolverd only: it is the only writer of these records."""

    def __init__(self, segment: Segment) -> None:
        """Reads only, until `begin`."""
        self._segment = segment
        self._slots = SlotTableReader(segment)
        self._names = NameReader(segment)
        self._counters = CounterReader(segment)
        self._table = NameserverTable(segment)
        self.slot = self._slots.slot
        self.server = self._slots.server
        self.usable = self._slots.usable
        self.sessions = self._slots.hint
        self.target = self._names.target
        self.resolution = self._counters.resolution
        self.publish_target = TargetWriter(segment).publish
        self.count = self._table.count
        self.repeated = self._table.repeated
        self.observe = HistogramWriter(segment).observe

    def begin(self) -> None:
        """Write from now on; bumps all generations once.

        The previous resolverd may have died between writing a slot and announcing it.
        """
        self.publish = SlotTableWriter(self._segment).publish

    def record(self, index: int, **fields: int) -> None:
        """Store fields of a resolution record."""
        self._table.record(index, **fields)
