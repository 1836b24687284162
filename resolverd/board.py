"""Where resolverd reads what a predecessor left and writes what it has found out: the segment.

Owns nothing but the translation to the writers of shm. `Board` is what the rest of the package
knows; the simulation of the tests has one without any memory to share.
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
        """The name that the slot points to other than by the configuration."""

    def server(self, slot: int) -> ServerState:
        """What all records of the slot add up to."""

    def usable(self, backend: int) -> tuple[int, int]:
        """How many active and backup servers of a backend take sessions."""

    def sessions(self, slot: int) -> int:
        """Sessions open to the slot, about."""

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
        """Publish a slot record; False if it says so already."""

    def publish_target(self, slot: int, name: str, stamp_ms: int) -> None:
        """Publish the name of a slot and when it was last resolved."""

    def record(self, index: int, **fields: int) -> None:
        """Store fields of a resolution record."""

    def count(self, nameserver: int, counter: str, amount: int = 1) -> None:
        """Add to a counter of a nameserver."""

    def observe(self, section: int, which: int, bucket: int, milliseconds: int) -> None:
        """Count a duration in a histogram of a section."""


class SegmentBoard:
    """The board in the segment; resolverd only, it is the one writer of all this."""

    def __init__(self, segment: Segment) -> None:
        """Whatever a predecessor left unannounced is announced."""
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
        self.publish = SlotTableWriter(segment).publish
        self.publish_target = TargetWriter(segment).publish
        self.count = self._table.count
        self.observe = HistogramWriter(segment).observe

    def record(self, index: int, **fields: int) -> None:
        """Store fields of a resolution record."""
        self._table.record(index, **fields)
