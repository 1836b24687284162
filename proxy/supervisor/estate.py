"""What a program says of itself to the build that goes on from it: a record in a memfd.

It names descriptors by number, everything else by names: a build with other structs reads what it
knows of it. Where the segment has the same layout, records and counters are read from there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

import msgspec

from proxy.builds.succession import PROTOCOL
from proxy.config.model.settings import Endpoint
from proxy.supervisor.listening import Held, Key, OpenSocket
from proxy.supervisor.passage import decode
from proxy.supervisor.prepare import Prepared
from proxy.supervisor.slices import at_once
from resolverd.state_file.format import StateRow
from shm.shape import Shape
from shm.tables.memory import StickTable

READ_BYTES = 1 << 24


class EstateError(Exception):
    """The record cannot be gone on from; the text says why."""


class PassedSocket(msgspec.Struct, frozen=True):
    """A listening socket, and what makes it the one of an address."""

    descriptor: int
    endpoint: Endpoint
    identity: tuple[int, int] | None = None
    v6only: bool | None = None
    interface: str | None = None
    transparent: bool = False

    def opened(self) -> OpenSocket:
        """It is this program's from here on."""
        listener = socket.socket(fileno=self.descriptor)
        listener.setblocking(False)
        return OpenSocket(listener, self.endpoint, self.identity)

    @property
    def key(self) -> Key:
        """As `Want.key`."""
        return self.endpoint, self.v6only, self.interface, self.transparent


class PassedTable(msgspec.Struct, frozen=True):
    """A stick table: its files, and what they are those of (`TableShape`, which another build may
    have in another form).
    """

    cells: int
    holds: int
    shape: bytes


class EstateRecord(msgspec.Struct, frozen=True):
    """All of it; what is not there in another build's has its default."""

    protocol: int
    sockets: tuple[PassedSocket, ...] = ()
    masters: tuple[PassedSocket, ...] = ()  # of the master CLI, in the order of -S
    layout: str = ""  # of the segment
    segment: int = -1
    relay_bells: tuple[int, ...] = ()  # of its workers, in their order
    shape: Shape | None = None
    settings: bytes = b""  # of the generation in force (passage.py)
    generation: int = 1
    begun_ms: int = 0
    descriptors: int = 0  # the limit that the program was started with
    reloads: tuple[int, int] = (0, 0)
    failures: int = 0
    processes: tuple[int, ...] = ()  # pids of all that the former program has forked
    events: tuple[tuple[int, int, str], ...] = ()  # microseconds, level, text
    check_orders: tuple[tuple[int, str | None, int | None], ...] = ()  # slot, address, port
    tables: tuple[PassedTable, ...] = ()
    rows: tuple[StateRow, ...] = ()  # of all servers, for a build with another layout

    def held(self) -> Held:
        """The listening sockets, by address."""
        found: Held = {}
        for each in self.sockets:
            found.setdefault(each.key, []).append(each.opened())
        return found

    def prepared(self) -> Prepared:
        """The settings of the generation in force; raises msgspec.DecodeError."""
        return at_once(decode(self.settings))

    def descriptors_passed(self) -> list[int]:
        """All that the next build inherits beside the record and the channel."""
        return [
            self.segment,
            *self.relay_bells,
            *(file for each in self.tables for file in (each.cells, each.holds)),
            *(each.descriptor for each in (*self.sockets, *self.masters)),
        ]


def passed_tables(tables: Iterable[StickTable]) -> Iterable[PassedTable]:
    """Stick tables, as they are named in a record."""
    for table in tables:
        yield PassedTable(table.file, table.holds, msgspec.msgpack.encode(table.shape))


def passed(held: Held) -> Iterable[PassedSocket]:
    """Sockets by address, as they are named in a record."""
    for (_, v6only, interface, transparent), items in held.items():
        for item in items:
            number, endpoint, identity = item.socket.fileno(), item.endpoint, item.identity
            yield PassedSocket(number, endpoint, identity, v6only, interface, transparent)


def write_record(record: EstateRecord) -> int:
    """A memfd that holds it, which the next program inherits; raises OSError."""
    descriptor = os.memfd_create("estate", 0)
    try:
        view = memoryview(msgspec.msgpack.encode(record))
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_record(descriptor: int) -> EstateRecord:
    """What the former program says; raises EstateError. The descriptor stays open."""
    content = bytearray()
    while chunk := os.pread(descriptor, READ_BYTES, len(content)):
        content += chunk
    try:
        record = msgspec.msgpack.decode(bytes(content), type=EstateRecord)
    except msgspec.DecodeError as error:
        raise EstateError(f"the record of the former program cannot be read: {error}") from error
    if record.protocol != PROTOCOL:
        raise EstateError(f"the former program speaks succession {record.protocol}, not {PROTOCOL}")
    return record
