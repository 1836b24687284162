"""What a start that goes on from a former program has of it."""

from __future__ import annotations

import msgspec

from proxy.builds.succession import Estate
from proxy.config.model.settings import StatsSocket
from proxy.supervisor.binding import BindError
from proxy.supervisor.estate import EstateRecord, read_record
from proxy.supervisor.faults import Faults
from proxy.supervisor.former import Former
from proxy.supervisor.listening import OpenSocket
from shm.events import EventRing

# What is not referred to is closed: the program that goes on where this one fails needs it all.
_inherited: list[object] = []


def settle_legacy() -> None:
    """This program goes on: what it closes of its legacy is its own matter."""
    _inherited.clear()


class Legacy(msgspec.Struct, frozen=True):
    """All of it; `failed` says why the build that was to go on first did not."""

    record: EstateRecord
    former: Former
    failed: str

    @classmethod
    def of(cls, estate: Estate) -> Legacy:
        """Take it; raises EstateError, and OSError without memory or descriptors."""
        record = read_record(estate.record)
        former = Former(estate, record, Faults().log)
        _inherited.append(former)
        return cls(record, former, estate.failed)

    def masters(self, lines: tuple[StatsSocket, ...]) -> list[tuple[OpenSocket, StatsSocket]]:
        """The sockets of the master CLI, which are as -S says; raises BindError."""
        if len(lines) != len(self.record.masters):
            raise BindError("the former program had other sockets of the master CLI")
        opened = [item.opened() for item in self.record.masters]
        _inherited.append(opened)
        return list(zip(opened, lines, strict=True))

    def events(self) -> EventRing:
        """Its events, as the first ones of this program."""
        ring = EventRing()
        for event in self.record.events:
            ring.write(*event)
        return ring
