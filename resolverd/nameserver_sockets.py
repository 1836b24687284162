"""The UDP sockets towards one nameserver: random source ports, random ids, strict matching.

Owns descriptors and which ids are open on them. Knows nothing of DNS messages beyond the two bytes
of the id, and nothing of resolutions: an open query carries a value of its owner's.

Each query draws one of SOCKETS_MAX sockets and an id that is free there (RFC 5452 section 9.2). The
sockets are connected, so the kernel drops what comes from elsewhere and reports a nameserver that
nobody listens on; their ports are chosen by the kernel at random. A socket is replaced when it has
grown old or when a query on it was not answered: who guesses ports must begin again. A retired one
is still read until its last query is closed.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from resolverd.config import Nameserver

SOCKETS_MAX = 16  # source ports in use towards one nameserver: 4 bits on top of the id's 16
SOCKET_AGE_MAX_MS = 60_000  # a port is not worth guessing for longer
DATAGRAM_MAX = 65_535  # bytes: what UDP can carry
DATAGRAMS_PER_EVENT = 64  # then the other descriptors have their turn
QUERY_ID_COUNT = 1 << 16

Owner = TypeVar("Owner")


class QuerySocket(Generic[Owner]):
    """One connected socket and the queries that are open on it, by id."""

    def __init__(self, connected: socket.socket, now_ms: int) -> None:
        """Nothing is open yet."""
        self.socket = connected
        self.opened_ms = now_ms
        self.open: dict[int, Owner] = {}
        self.retired = False


class OpenQuery(Generic[Owner]):
    """A query that was sent; it stays open until it is answered or closed."""

    def __init__(
        self,
        sockets: NameserverSockets[Owner],
        sent_on: QuerySocket[Owner],
        query_id: int,
        owner: Owner,
    ) -> None:
        """Note where it is open."""
        self.sent_on = sent_on
        self.query_id = query_id
        self.owner = owner
        self._sockets = sockets

    def close(self) -> None:
        """Forget the query: what answers it from now on is late."""
        self._sockets.close_query(self)

    def renew(self) -> None:
        """Retire the socket that it went out on; the query stays open."""
        self._sockets.renew(self)


class NameserverSockets(Generic[Owner]):
    """Sends queries to one nameserver and hands on what comes back.

    `on_datagram(wire, owner)` gets each datagram with the owner of the open query whose id it bears
    (None without one) and tells whether that query is answered by it; `on_error` is called for
    each error that the kernel reports about a query sent earlier.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        nameserver: Nameserver,
        on_datagram: Callable[[bytes, Owner | None], bool],
        on_error: Callable[[], None],
    ) -> None:
        """No socket is opened before the first query; raises OSError for a bad address."""
        self._loop = loop
        found = socket.getaddrinfo(
            nameserver.address, nameserver.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        self._family, self._target = found[0][0], found[0][4]
        self._on_datagram = on_datagram
        self._on_error = on_error
        self._pool: list[QuerySocket[Owner] | None] = [None] * SOCKETS_MAX
        self._retired: set[QuerySocket[Owner]] = set()

    def send(self, wire: bytes, owner: Owner, now_ms: int) -> OpenQuery[Owner]:
        """Send a query under an id of its own; the first two bytes of `wire` are replaced.

        Raises OSError when it cannot be sent; nothing is open then.
        """
        place = secrets.randbelow(len(self._pool))
        chosen = self._pool[place]
        if chosen is None or now_ms - chosen.opened_ms > SOCKET_AGE_MAX_MS:
            self._retire(place)
            chosen = self._pool[place] = self._connect(now_ms)
        query_id = secrets.randbelow(QUERY_ID_COUNT)
        while query_id in chosen.open:
            query_id = secrets.randbelow(QUERY_ID_COUNT)
        datagram = query_id.to_bytes(2, "big") + wire[2:]
        try:
            chosen.socket.send(datagram)
        except ConnectionRefusedError:  # said of an earlier query; this one was not sent
            self._on_error()
            chosen.socket.send(datagram)
        chosen.open[query_id] = owner
        return OpenQuery(self, chosen, query_id, owner)

    def close_query(self, query: OpenQuery[Owner]) -> None:
        """Forget a query: what answers it from now on is late."""
        if query.sent_on.open.get(query.query_id) is query.owner:  # the id may be another's by now
            del query.sent_on.open[query.query_id]
            self._close_if_done(query.sent_on)

    def renew(self, query: OpenQuery[Owner]) -> None:
        """Retire the socket that this query went out on; the query stays open."""
        if query.sent_on in self._pool:
            self._retire(self._pool.index(query.sent_on))

    def close(self) -> None:
        """Close everything; raises nothing."""
        for place in range(len(self._pool)):
            self._retire(place)
        for each in list(self._retired):
            each.open.clear()
            self._close_if_done(each)

    def _connect(self, now_ms: int) -> QuerySocket[Owner]:
        connected = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            connected.setblocking(False)
            connected.connect(self._target)
        except OSError:
            connected.close()
            raise
        opened = QuerySocket[Owner](connected, now_ms)
        self._loop.add_reader(connected.fileno(), self._readable, opened)
        return opened

    def _retire(self, place: int) -> None:
        former, self._pool[place] = self._pool[place], None
        if former is not None:
            former.retired = True
            self._retired.add(former)
            self._close_if_done(former)

    def _close_if_done(self, each: QuerySocket[Owner]) -> None:
        if each.retired and not each.open and each.socket.fileno() >= 0:
            self._loop.remove_reader(each.socket.fileno())
            each.socket.close()
            self._retired.discard(each)

    def _readable(self, readable: QuerySocket[Owner]) -> None:
        for _ in range(DATAGRAMS_PER_EVENT):
            if readable.socket.fileno() < 0:
                return  # the last datagram closed the last query of a retired socket
            try:
                wire = readable.socket.recv(DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError:
                self._on_error()
                continue
            query_id = int.from_bytes(wire[:2], "big")
            owner = readable.open.pop(query_id, None)
            if not self._on_datagram(wire, owner) and owner is not None:
                readable.open[query_id] = owner  # not its answer: it goes on waiting
            self._close_if_done(readable)
