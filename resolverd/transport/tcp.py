"""The TCP connections towards one nameserver: pipelined, bounded, renewed (RFC 7766).

Owns descriptors, framing and the open ids of each connection. Knows of DNS messages only the two
bytes of the id, and no resolution: an open query carries a value of its owner's.

A connection carries at most PIPELINE_MAX open queries, each under a random id that is free there;
other queries wait. Queries that are open when the nameserver closes the connection are sent once
more on another, because a connection may end between two queries; if that fails too, or connect()
does, they are lost and no connection is tried for RECONNECT_DELAY_S. A connection that left a query
unanswered gets no new one; an idle one is closed after IDLE_S.

A nameserver that closes a connection with several open queries may accept only one on each: for
SINGLY_S every query has a connection of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from resolverd.config import Nameserver
from resolverd.transport.udp import numeric_target

STREAMS_MAX = 16  # connections to one nameserver
PIPELINE_MAX = 4  # queries on one connection, as HAProxy has it
SINGLY_S = 300.0  # then pipelining is tried again, for the price of a repeated question
WAITING_MAX = 1_024  # waiting queries: the retries of all runs within the run limit
RECONNECT_DELAY_S = 1.0  # after a failure
IDLE_S = 5.0  # before an idle connection is closed
READ_BYTES = 65_536
READS_PER_EVENT = 16  # then the loop serves other descriptors
LENGTH_BYTES = 2  # RFC 1035 section 4.2.2
QUERY_ID_COUNT = 1 << 16

Owner = TypeVar("Owner")


class StreamQuery(Generic[Owner]):
    """A query, sent or waiting; open until it is answered, lost or closed."""

    def __init__(self, streams: NameserverStreams[Owner], wire: bytes, owner: Owner) -> None:
        self.wire = wire
        self.owner = owner
        self.sent_on: Stream[Owner] | None = None
        self.query_id = 0
        self.sent_again = False
        self.expired = False  # its attempt has timed out: it is not sent again
        self.over = False
        self._streams = streams

    def close(self) -> None:
        """Close the query: later answers to it are outdated."""
        self._streams.close_query(self)

    def renew(self) -> None:
        """Send nothing more on its connection; the query stays open."""
        self._streams.renew(self)


class Stream(Generic[Owner]):
    """One connection and the queries that are open on it, by id."""

    def __init__(self, connecting: socket.socket) -> None:
        self.socket = connecting
        self.connected = False
        self.retired = False
        self.open: dict[int, StreamQuery[Owner]] = {}
        self.outgoing = bytearray()
        self.incoming = bytearray()
        self.idle_since_s = 0.0
        self.used = False  # a query was sent on it

    @property
    def closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self.socket.fileno() < 0


class NameserverStreams(Generic[Owner]):
    """Sends queries to one nameserver and passes on its messages.

    `on_message(wire, owner)` gets each message with the owner of the open query with its id (None
    without one) and returns whether it answers that query; `on_lost(owner)` is called for a lost
    query.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        nameserver: Nameserver,
        on_message: Callable[[bytes, Owner | None], bool],
        on_lost: Callable[[Owner], None],
        connect_timeout_ms: int,
    ) -> None:
        """No connection is made before the first query."""
        self._loop = loop
        self._nameserver = nameserver
        self._on_message = on_message
        self._on_lost = on_lost
        self._connect_timeout_s = connect_timeout_ms / 1_000
        self._streams: list[Stream[Owner]] = []
        self._waiting: deque[StreamQuery[Owner]] = deque()
        self._blocked_until_s = 0.0
        self._singly_until_s = 0.0
        self._sweeper: asyncio.TimerHandle | None = None

    def send(self, wire: bytes, owner: Owner) -> StreamQuery[Owner]:
        """Send a query under an id of its own; the first two bytes of `wire` are replaced.

        Raises ConnectionError while no connection is tried or too many queries wait.
        """
        blocked = self._loop.time() < self._blocked_until_s
        if (blocked and not self._streams) or len(self._waiting) >= WAITING_MAX:
            raise ConnectionError("the nameserver takes no connection at the moment")
        query = StreamQuery(self, wire, owner)
        self._waiting.append(query)
        # `on_lost` is called from the loop, never within this call
        self._loop.call_soon(self._dispatch)
        return query

    def close_query(self, query: StreamQuery[Owner]) -> None:
        """Close a query; no callback is called for it any more."""
        stream, query.over = query.sent_on, True
        if stream is None:
            with suppress(ValueError):
                self._waiting.remove(query)
        elif stream.open.get(query.query_id) is query:
            del stream.open[query.query_id]
            self._rest(stream)
            self._loop.call_soon(self._dispatch)

    def renew(self, query: StreamQuery[Owner]) -> None:
        """Send nothing more on the connection of this query; the query stays open."""
        query.expired = True
        if query.sent_on is not None:
            query.sent_on.retired = True
            self._loop.call_soon(self._dispatch)

    def read(self) -> None:
        """Read the connections with open queries now, before the loop does."""
        for stream in list(self._streams):
            if stream.connected and stream.open and not stream.closed:
                self._readable(stream)

    def close(self) -> None:
        """Close everything; raises nothing."""
        self._waiting.clear()
        for stream in list(self._streams):
            self._drop(stream)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _dispatch(self) -> None:
        while self._waiting:
            stream = self._with_room()
            if stream is None:
                return
            query = self._waiting.popleft()
            query.query_id = secrets.randbelow(QUERY_ID_COUNT)
            while query.query_id in stream.open:
                query.query_id = secrets.randbelow(QUERY_ID_COUNT)
            query.sent_on = stream
            stream.open[query.query_id] = query
            stream.used = True
            message = query.query_id.to_bytes(2, "big") + query.wire[2:]
            stream.outgoing += len(message).to_bytes(LENGTH_BYTES, "big") + message
            if stream.connected:
                self._write(stream)

    def _with_room(self) -> Stream[Owner] | None:
        """A connection with room for a query, a new one where possible; else None."""
        singly = self._loop.time() < self._singly_until_s
        usable = [each for each in self._streams if not each.retired]
        for stream in sorted(usable, key=lambda each: not each.connected):
            if len(stream.open) < PIPELINE_MAX and not (singly and stream.used):
                return stream
        if self._loop.time() < self._blocked_until_s:
            self._lose_waiting()
            return None
        if len(self._streams) >= STREAMS_MAX:
            retired = next((each for each in self._streams if each.retired), None)
            if retired is None:
                return None
            for query in [each for each in retired.open.values() if each.expired]:
                del retired.open[query.query_id]  # it has timed out, and others wait
            self._ask_elsewhere(retired)
        return self._connect()

    def _connect(self) -> Stream[Owner] | None:
        try:
            family, target = numeric_target(self._nameserver, socket.SOCK_STREAM)
            connecting = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError:  # no such interface, no descriptor, no memory
            self._blocked_until_s = self._loop.time() + RECONNECT_DELAY_S
            self._lose_waiting()
            return None
        stream = Stream[Owner](connecting)
        self._streams.append(stream)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                connecting.connect(target)
        except OSError:
            self._fail(stream)
            return None
        self._loop.add_writer(connecting.fileno(), self._connecting, stream)
        self._loop.call_later(self._connect_timeout_s, self._check_connected, stream)
        return stream

    def _connecting(self, stream: Stream[Owner]) -> None:
        if stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(stream)
            return
        stream.connected = True
        self._loop.remove_writer(stream.socket.fileno())
        self._loop.add_reader(stream.socket.fileno(), self._readable, stream)
        self._write(stream)

    def _check_connected(self, stream: Stream[Owner]) -> None:
        """The time of connect() has passed; look once more, the loop may not have seen its end."""
        if stream.connected or stream.closed:
            return
        poll = select.poll()
        poll.register(stream.socket, select.POLLOUT)
        if poll.poll(0):
            self._connecting(stream)
        else:
            self._fail(stream)

    def _write(self, stream: Stream[Owner]) -> None:
        try:
            while stream.outgoing:
                del stream.outgoing[: stream.socket.send(stream.outgoing)]
        except BlockingIOError:
            self._loop.add_writer(stream.socket.fileno(), self._write, stream)
        except OSError:
            self._fail(stream)
        else:
            self._loop.remove_writer(stream.socket.fileno())

    def _readable(self, stream: Stream[Owner]) -> None:
        for _ in range(READS_PER_EVENT):
            try:
                received = stream.socket.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                received = b""
            if not received:
                self._fail(stream)
                return
            stream.incoming += received
            self._take_messages(stream)
            if stream.closed:
                return

    def _take_messages(self, stream: Stream[Owner]) -> None:
        incoming = stream.incoming
        while len(incoming) >= LENGTH_BYTES and not stream.closed:
            end = LENGTH_BYTES + int.from_bytes(incoming[:LENGTH_BYTES], "big")
            if len(incoming) < end:
                return
            wire = bytes(incoming[LENGTH_BYTES:end])
            del incoming[:end]
            query_id = int.from_bytes(wire[:2], "big")
            query = stream.open.pop(query_id, None)
            if not self._on_message(wire, None if query is None else query.owner):
                if query is not None:
                    stream.open[query_id] = query  # not its answer: it goes on waiting
            elif not stream.closed:
                self._rest(stream)
                self._dispatch()

    def _rest(self, stream: Stream[Owner]) -> None:
        """A query of the connection has ended: close a connection of no further use."""
        if stream.open or stream.closed:
            return
        if stream.retired or self._loop.time() < self._singly_until_s:
            self._drop(stream)
            return
        stream.idle_since_s = self._loop.time()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self._loop.time()
        for stream in list(self._streams):
            if not stream.open and now_s >= stream.idle_since_s + IDLE_S:
                self._drop(stream)
        if self._streams:
            self._sweeper = self._loop.call_later(IDLE_S, self._sweep)

    def _fail(self, stream: Stream[Owner]) -> None:
        """A connection has ended, or connect() has failed: send its queries again, or lose them."""
        worked = stream.connected
        if worked and len(stream.open) > 1:
            self._singly_until_s = self._loop.time() + SINGLY_S
        if self._ask_elsewhere(stream) or not worked:
            self._blocked_until_s = self._loop.time() + RECONNECT_DELAY_S
        self._dispatch()

    def _ask_elsewhere(self, stream: Stream[Owner]) -> bool:
        """Drop a connection; its queries wait for another one, once. True if some are lost."""
        queries = list(stream.open.values())
        worked = stream.connected
        self._drop(stream)
        again = [query for query in queries if worked and not query.sent_again]
        lost = [query for query in queries if not worked or query.sent_again]
        for query in reversed(again):
            query.sent_on, query.sent_again = None, True
            self._waiting.appendleft(query)
        self._lose(lost)
        return bool(lost)

    def _lose_waiting(self) -> None:
        """Lose the waiting queries while no connection is tried, unless one is usable."""
        if any(not stream.retired for stream in self._streams):
            return
        waiting, self._waiting = self._waiting, deque()
        self._lose(waiting)

    def _lose(self, queries: Iterable[StreamQuery[Owner]]) -> None:
        for query in queries:
            if not query.over:  # `on_lost` of another may have closed it
                query.over = True
                self._on_lost(query.owner)

    def _drop(self, stream: Stream[Owner]) -> None:
        if not stream.closed:
            self._loop.remove_reader(stream.socket.fileno())
            self._loop.remove_writer(stream.socket.fileno())
            stream.socket.close()
        stream.open.clear()
        if stream in self._streams:
            self._streams.remove(stream)
