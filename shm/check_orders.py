"""Where operators have ordered health checks to connect to: `set server ... check-addr|check-port`.

One area of anonymous memory for each generation, which children inherit: a place for each slot, of
two copies with a sequence and a sum. The writer replaces the older copy, so that a reader finds a
whole one at any moment, whatever the writer does or dies of. Control writes, and the supervisor
before the first fork; any process reads. Rare by nature: while there is no order at all, a reader
looks at one byte and touches no other memory.
"""

from __future__ import annotations

import ipaddress
import mmap
import struct
import zlib
from typing import NamedTuple

from shm.shape import SLOTS_MAX

HEAD_BYTES = 64  # the first byte: whether there ever was an order
COPY = struct.Struct("=QBBH16s")  # sequence; address: bytes of it; port is ordered; port
SUM = struct.Struct("=I")
COPY_BYTES = 32
COPIES = 2
TRIES = 100
TORN = -1


class CheckOrder(NamedTuple):
    """What is ordered of one server's checks; None: what its line says."""

    address: str | None = None  # numeric; the unspecified one is the server's own
    port: int | None = None  # 0: the server's own

    @property
    def host(self) -> str | None:
        """Another address than the server's own; None: that one, or no order."""
        given = self.address and not ipaddress.ip_address(self.address).is_unspecified
        return self.address if given else None


AS_CONFIGURED = CheckOrder()


def _packed(sequence: int, order: CheckOrder) -> bytes:
    address = b"" if order.address is None else ipaddress.ip_address(order.address).packed
    body = COPY.pack(sequence, len(address), order.port is not None, order.port or 0, address)
    return (body + SUM.pack(zlib.crc32(body))).ljust(COPY_BYTES, b"\0")


def _read(copy: bytes) -> tuple[int, CheckOrder]:
    """The sequence and the order of a copy: 0 for an empty one, TORN for one that is not whole."""
    body = copy[: COPY.size]
    if not any(copy):
        return 0, AS_CONFIGURED
    if SUM.unpack_from(copy, COPY.size)[0] != zlib.crc32(body):
        return TORN, AS_CONFIGURED
    sequence, size, ported, port, address = COPY.unpack(body)
    host = str(ipaddress.ip_address(address[:size])) if size else None
    return sequence, CheckOrder(host, port if ported else None)


class CheckOrders:
    """The orders about the checks of all slots."""

    def __init__(self) -> None:
        """No order yet; raises OSError when memory ends."""
        self._memory = mmap.mmap(-1, HEAD_BYTES + SLOTS_MAX * COPIES * COPY_BYTES)

    @property
    def any(self) -> bool:
        """Whether there ever was an order."""
        return bool(self._memory[0])

    def _copies(self, slot: int) -> list[bytes]:
        first = HEAD_BYTES + slot * COPIES * COPY_BYTES
        places = range(first, first + COPIES * COPY_BYTES, COPY_BYTES)
        return [self._memory[place : place + COPY_BYTES] for place in places]

    def read(self, slot: int) -> CheckOrder:
        """The order in force; raises BlockingIOError when it changed on each of many tries."""
        if not self._memory[0]:
            return AS_CONFIGURED
        for _ in range(TRIES):
            sequence, order = max(map(_read, self._copies(slot)), key=lambda copy: copy[0])
            if sequence != TORN:
                return order
        raise BlockingIOError(f"the order about the checks of slot {slot} does not hold still")

    def publish(self, slot: int, order: CheckOrder) -> None:
        """Put an order in force; the one writer."""
        if order == self.read(slot):
            return
        sequences = [_read(copy)[0] for copy in self._copies(slot)]
        older = sequences.index(min(sequences))
        place = HEAD_BYTES + (slot * COPIES + older) * COPY_BYTES
        self._memory[place : place + COPY_BYTES] = _packed(max(sequences) + 1, order)
        self._memory[0] = 1
