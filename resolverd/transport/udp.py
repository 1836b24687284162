"""The UDP sockets towards one nameserver: random source ports, random ids, strict matching.

Owns descriptors and the open ids of each. Knows of DNS messages only the two bytes of the id (and
QR), and no resolution: an open query carries a value of its owner's.

Each query draws one of SOCKETS_MAX sockets and an id that is free there (RFC 5452 section 9.2). The
sockets are connected, so the kernel drops datagrams from other addresses and reports ICMP errors;
it chooses their ports at random. An old socket is replaced, so that guessing its port has to begin
again. A query without an answer retires all sockets that were open when it was sent: after a change
of routes, or of a middlebox's connection table, a former port may never get an answer again. A
retired socket is read until its last query is closed.

A reply under an id that was never used on its socket, or one that does not match the query with its
id, is a stranger: perhaps a forgery. STRANGERS_MAX of them while a query is open make it doubted:
its socket is retired, so that the next queries have other ports, and `on_doubt` is called.

After a process was stopped for a while, its timers are due and answers are in its sockets, and the
loop may run the timers first. So `read` is to be called before a query is taken for unanswered.
"""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from resolverd.config import Nameserver

SOCKETS_MAX = 16  # source ports in use towards one nameserver: 4 bits on top of the id's 16
SOCKET_QUERIES_MAX = 256  # in the life of a socket, which keeps all their ids
REPLY_BIT = 0x80  # QR, in the third byte of a message (RFC 1035 section 4.1.1)
STRANGERS_MAX = 10  # replies that match no query: more than stray datagrams
SOCKET_AGE_MAX_MS = 60_000  # bounds the time for guessing one port
READ_AT_ONCE_MAX = 512  # datagrams on one socket: more than its buffer holds
DATAGRAM_MAX = 65_535  # bytes: the largest datagram of UDP
QUERY_ID_BITS = 16
QUERY_ID_MASK = (1 << QUERY_ID_BITS) - 1
DRAW_BYTES = 4096  # of getrandom() at once: one call for each query would cost more than the query

Owner = TypeVar("Owner")


def draw() -> Iterator[int]:
    """Unpredictable numbers of 32 bits, without end; not to be used across a fork."""
    while True:
        yield from memoryview(os.urandom(DRAW_BYTES)).cast("I")


def numeric_target(
    nameserver: Nameserver, kind: socket.SocketKind
) -> tuple[socket.AddressFamily, tuple[str | int, ...] | tuple[int, bytes]]:
    """Family and address for connect().

    Raises OSError for a link-local address whose interface does not exist at the moment.
    """
    found = socket.getaddrinfo(
        nameserver.address, nameserver.port, type=kind, flags=socket.AI_NUMERICHOST
    )
    return found[0][0], found[0][4]


class QuerySocket(Generic[Owner]):
    """One connected socket and the queries that are open on it, by id."""

    def __init__(
        self, sockets: NameserverSockets[Owner], connected: socket.socket, now_ms: int
    ) -> None:
        self.sockets = sockets
        self.socket = connected
        self.opened_ms = now_ms
        self.open: dict[int, OpenQuery[Owner]] = {}
        self.asked = array("H")  # all ids so far: a late or repeated reply is no stranger
        self.strangers = 0
        self.retired = False


class OpenQuery(msgspec.Struct, Generic[Owner], eq=False):
    """A query that was sent; open until it is answered or closed.

    `strangers` is its socket's count when it was sent, less those under its own id since.
    """

    sent_on: QuerySocket[Owner]
    query_id: int
    owner: Owner
    sent_ms: int
    strangers: int
    doubted: bool = False

    def close(self) -> None:
        """Close the query: later answers to it are outdated."""
        if self.sent_on.open.get(self.query_id) is self:
            del self.sent_on.open[self.query_id]
            if self.sent_on.retired:
                self.sent_on.sockets.close_if_done(self.sent_on)

    def renew(self) -> None:
        """Retire all sockets that were open when it was sent; the query stays open."""
        self.sent_on.sockets.renew(self.sent_ms)


class NameserverSockets(Generic[Owner]):
    """Sends queries to one nameserver and passes on its datagrams.

    `on_datagram(wire, owner)` gets each datagram with the owner of the open query with its id (None
    without one) and returns whether it answers that query; `on_error` is called for each error that
    the kernel reports about an earlier query, `on_doubt(query)` once for a doubted query, which
    stays open.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        nameserver: Nameserver,
        on_datagram: Callable[[bytes, Owner | None], bool],
        on_error: Callable[[], None],
        on_doubt: Callable[[OpenQuery[Owner]], None],
    ) -> None:
        """No socket is opened before the first query."""
        self._loop = loop
        self._nameserver = nameserver
        self._on_datagram = on_datagram
        self._on_error = on_error
        self._on_doubt = on_doubt
        self._pool: list[QuerySocket[Owner] | None] = [None] * SOCKETS_MAX
        self._retired: set[QuerySocket[Owner]] = set()
        self._draws = draw()
        self._buffer = memoryview(bytearray(DATAGRAM_MAX))

    def send(self, wire: bytes, owner: Owner, now_ms: int) -> OpenQuery[Owner]:
        """Send a query under an id of its own; the first two bytes of `wire` are replaced.

        Raises OSError when it cannot be sent; then no query is open.
        """
        drawn = next(self._draws)
        place = (drawn >> QUERY_ID_BITS) % SOCKETS_MAX  # the bits above the id
        chosen = self._pool[place]
        if chosen is None or _is_worn(chosen, now_ms):
            self._retire(place)
            chosen = self._pool[place] = self._connect(now_ms)
        query_id = drawn & QUERY_ID_MASK
        while query_id in chosen.open:
            query_id = next(self._draws) & QUERY_ID_MASK
        datagram = query_id.to_bytes(2, "big") + wire[2:]
        try:
            chosen.socket.send(datagram)
        except ConnectionRefusedError:  # the error of an earlier query; this one was not sent
            self._on_error()
            chosen.socket.send(datagram)
        chosen.asked.append(query_id)
        query = OpenQuery(chosen, query_id, owner, now_ms, chosen.strangers)
        chosen.open[query_id] = query
        return query

    def renew(self, sent_ms: int) -> None:
        """Retire the sockets opened up to `sent_ms`; the queries on them stay open."""
        for place, each in enumerate(self._pool):
            if each is not None and each.opened_ms <= sent_ms:
                self._retire(place)

    def read(self) -> None:
        """Read the sockets with open queries now, before the loop does."""
        pool = [each for each in self._pool if each is not None]
        for each in [*pool, *self._retired]:
            for _ in range(READ_AT_ONCE_MAX):
                if not each.open or not self._readable(each):
                    break

    def close_if_done(self, each: QuerySocket[Owner]) -> None:
        """Close a retired socket without open queries."""
        if each.retired and not each.open and each.socket.fileno() >= 0:
            self._loop.remove_reader(each.socket.fileno())
            each.socket.close()
            self._retired.discard(each)

    def close(self) -> None:
        """Close everything; raises nothing."""
        for place in range(len(self._pool)):
            self._retire(place)
        for each in list(self._retired):
            each.open.clear()
            self.close_if_done(each)

    def _connect(self, now_ms: int) -> QuerySocket[Owner]:
        family, target = numeric_target(self._nameserver, socket.SOCK_DGRAM)
        connected = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            connected.setblocking(False)
            connected.connect(target)
        except OSError:
            connected.close()
            raise
        opened = QuerySocket(self, connected, now_ms)
        self._loop.add_reader(connected.fileno(), self._readable, opened)
        return opened

    def _retire(self, place: int) -> None:
        former, self._pool[place] = self._pool[place], None
        if former is not None:
            former.retired = True
            self._retired.add(former)
            self.close_if_done(former)

    def _readable(self, readable: QuerySocket[Owner]) -> bool:
        """Read one datagram; False if there is none.

        Concurrent queries are on many sockets, seldom two on one. A second datagram is reported by
        the loop again; looking for it here would cost a system call each time.
        """
        try:
            size = readable.socket.recv_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError:
            self._on_error()
            return True
        wire = bytes(self._buffer[:size])
        query_id = int.from_bytes(wire[:2], "big")
        query = readable.open.pop(query_id, None)
        if not self._on_datagram(wire, None if query is None else query.owner):
            if query is not None:
                readable.open[query_id] = query  # not its answer: it goes on waiting
            if size > 2 and self._buffer[2] & REPLY_BIT:  # a reflected query is no forgery
                self._note_stranger(readable, query_id, query)
        if readable.retired:
            self.close_if_done(readable)
        return True

    def _note_stranger(
        self, readable: QuerySocket[Owner], query_id: int, query: OpenQuery[Owner] | None
    ) -> None:
        """Count a reply that answers no query; `query` is the open one with its id, if any."""
        if query is not None:
            query.strangers -= 1
        elif query_id not in readable.asked:
            readable.strangers += 1
        for each in list(readable.open.values()):
            if readable.strangers - each.strangers >= STRANGERS_MAX and not each.doubted:
                each.doubted = True
                if readable in self._pool:
                    self._retire(self._pool.index(readable))
                self._on_doubt(each)


def _is_worn(each: QuerySocket[Owner], now_ms: int) -> bool:
    """Whether a socket is to be replaced."""
    return now_ms - each.opened_ms > SOCKET_AGE_MAX_MS or len(each.asked) >= SOCKET_QUERIES_MAX
