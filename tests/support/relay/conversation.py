"""One conversation through a relay: a client and a server, each a short script, seen byte by byte.

Both ends live in one selector loop, together with the bell of the fault library, whose wish for an
act of the peer (urgent data, FIN, RST) is granted between two rounds. The conversation decides what
is a failure: a byte lost, wrong or too many, an end that does not come, or no progress while
a peer waits.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.common import PATIENCE_SECONDS
from tests.support.relay.faults import Shim

IDLE_SECONDS = PATIENCE_SECONDS  # without any progress: the session idles
URGENT = b"\xff"  # occurs nowhere else in a conversation
RESET = struct.pack("ii", 1, 0)
CONTENT = bytes(range(251)) * 20_000


@dataclass(frozen=True)
class Send:
    """Send that many bytes of the side's content."""

    size: int


@dataclass(frozen=True)
class Await:
    """Go on once that many bytes, in all, have come from the other side (or its end)."""

    size: int


@dataclass(frozen=True)
class Stall:
    """Read nothing until the other side can send no more."""


@dataclass(frozen=True)
class Scenario:
    """Two scripts; each side half-closes after its last step."""

    name: str
    client: tuple[Send | Await | Stall, ...]
    server: tuple[Send | Await | Stall, ...]
    client_buffer: int | None = None


EXCHANGE = Scenario(
    "exchange",
    (Send(300), Await(500), Send(200), Await(1_000)),
    (Await(300), Send(500), Await(500), Send(500), Await(501), Send(2_000)),
)
DOWNLOAD = Scenario("download", (Send(100), Await(700_000)), (Await(100), Send(700_000)))
BOTH_WAYS = Scenario("both ways", (Send(300_000),), (Send(20), Send(300_000)))
STALLED = Scenario(
    "stalled", (Send(100), Stall()), (Await(100), Send(4_000_000)), client_buffer=65_536
)


@dataclass
class End:
    """One end of a conversation, at some step of its script."""

    name: str
    script: tuple[Send | Await | Stall, ...]
    connection: socket.socket | None = None
    step: int = 0
    sent: int = 0
    send_until: int = 0
    received: bytearray = field(default_factory=bytearray)
    finished: bool = False  # FIN or RST sent
    reset: bool = False  # by itself
    end: str = ""  # of the other side's stream: eof or reset
    stalling: bool = False

    @property
    def done(self) -> bool:
        return self.reset or (self.finished and bool(self.end))

    def advance(self) -> bool:
        """Take the steps that need no waiting; True if anything moved."""
        moved = False
        while self.connection is not None and not self.finished:
            if self.sent < self.send_until:
                if not self._send():
                    return moved
                moved = True
                continue
            if self.step == len(self.script):
                self._finish()
                return True
            step = self.script[self.step]
            if isinstance(step, Await) and len(self.received) < step.size and not self.end:
                return moved
            if isinstance(step, Stall):
                self.stalling = True
                return moved
            self.step += 1
            moved = True
            if isinstance(step, Send):
                self.send_until += step.size
        return moved

    def unstall(self) -> None:
        self.stalling = False
        self.step += 1

    def _send(self) -> bool:
        assert self.connection is not None
        start = self.sent % 251
        size = min(self.send_until - self.sent, 100_000)
        try:
            self.sent += self.connection.send(CONTENT[start : start + size])
        except BlockingIOError:
            return False
        except OSError:
            self.finished = True  # the other side is gone; receiving tells how
        return True

    def _finish(self) -> None:
        assert self.connection is not None
        self.finished = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def receive(self) -> bool:
        """Take what is there; True if anything came."""
        moved = False
        while self.connection is not None and not self.end and not self.stalling:
            try:
                chunk = self.connection.recv(200_000)
            except BlockingIOError:
                return moved
            except OSError:
                self.end = "reset"
                return True
            moved = True
            if not chunk:
                self.end = "eof"
            self.received += chunk.replace(URGENT, b"")
        return moved

    def urgent(self) -> None:
        """A byte of urgent data, now."""
        if self.connection is not None:
            with suppress(OSError):
                self.connection.send(URGENT, socket.MSG_OOB)

    def finish_early(self) -> None:
        """FIN, now: the rest of the script is not sent."""
        self.step, self.send_until = len(self.script), self.sent
        if self.connection is not None and not self.finished:
            self._finish()

    def abort(self) -> None:
        """RST, now."""
        self.step, self.send_until = len(self.script), self.sent
        self.finished = self.reset = True
        if self.connection is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()
            self.connection = None


class Conversation:
    """One scenario through the relay at `target`, whose server is `listener`."""

    def __init__(
        self,
        scenario: Scenario,
        target: tuple[str, int],
        listener: socket.socket,
        shim: Shim,
        peer: Callable[[Conversation], None] | None = None,
    ) -> None:
        self.client = End("client", scenario.client)
        self.server = End("server", scenario.server)
        self.target, self.listener, self.shim, self.peer = target, listener, shim, peer
        self.client_buffer = scenario.client_buffer
        self.selector = selectors.DefaultSelector()

    def run(self, may_be_cut: bool = False) -> str | None:
        """None, or what went wrong; `may_be_cut`: bytes may be missing at the end of each stream."""
        self.listener.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # what the relay connected after an earlier conversation was over
                self.listener.accept()[0].close()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.shim.bell, selectors.EVENT_READ)
        connection = socket.socket()
        connection.setblocking(False)
        if self.client_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.client_buffer)
        connection.connect_ex(self.target)
        self._open(self.client, connection)
        try:
            return self._talk() or self._judge(may_be_cut)
        finally:
            self.selector.close()
            for end in (self.client, self.server):
                if end.connection is not None:
                    end.connection.close()

    def abort(self, end: End) -> None:
        """That end sends RST, now."""
        if end.connection is not None and end.connection in self.selector.get_map():
            self.selector.unregister(end.connection)
        end.abort()

    def _open(self, end: End, connection: socket.socket) -> None:
        connection.setblocking(False)
        end.connection = connection
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        self.selector.register(connection, both)

    def _talk(self) -> str | None:
        progress = time.monotonic()
        while not self._over():
            if self._round():
                progress = time.monotonic()
            elif time.monotonic() > progress + IDLE_SECONDS:
                return f"the session idles: {self}"
            elif time.monotonic() > progress + 0.05:
                for end in (self.client, self.server):
                    if end.stalling:
                        end.unstall()
        return None

    def _over(self) -> bool:
        server_over = self.server.done or (self.server.connection is None and self.client.done)
        return self.client.done and server_over

    def _round(self) -> bool:
        moved = False
        for key, _ in self.selector.select(0.002):
            if key.fileobj is self.listener:
                moved |= self._accept()
            elif key.fileobj == self.shim.bell:
                os.read(self.shim.bell, 1)
                if self.peer is not None:
                    self.peer(self)
                self.shim.acknowledge()
                moved = True
        for end in (self.client, self.server):
            moved |= end.receive()
            moved |= end.advance()
            self._watch(end)
        return moved

    def _accept(self) -> bool:
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return False
        if self.server.connection is not None or self.server.reset:
            connection.close()  # an attempt that the relay gave up and made again
            return True
        self._open(self.server, connection)
        return True

    def _watch(self, end: End) -> None:
        """Ask only for what this end waits for, so that the loop sleeps between."""
        if end.connection is None:
            return
        wanted = 0 if end.end or end.stalling else selectors.EVENT_READ
        if end.sent < end.send_until and not end.finished:
            wanted |= selectors.EVENT_WRITE
        known = end.connection in self.selector.get_map()
        if wanted and known:
            self.selector.modify(end.connection, wanted)
        elif wanted:
            self.selector.register(end.connection, wanted)
        elif known:
            self.selector.unregister(end.connection)

    def _judge(self, may_be_cut: bool) -> str | None:
        # as with HAProxy, a client that is done without a word before there is a server is let go
        may_be_cut |= self.client.sent == 0
        for end, other in ((self.client, self.server), (self.server, self.client)):
            if end.received != expected(len(end.received)):
                return f"the {end.name} received a wrong byte: {self}"
            if len(end.received) > other.sent:
                return f"the {end.name} received more than was sent: {self}"
            if not (end.reset or other.reset or may_be_cut) and (
                len(end.received) != other.sent or end.end != "eof"
            ):
                return f"the {end.name} has not got all: {self}"
        return None

    def __str__(self) -> str:
        return "; ".join(
            f"{end.name} sent {end.sent}, received {len(end.received)}, end '{end.end}',"
            f" step {end.step}, finished {end.finished}"
            for end in (self.client, self.server)
        )


def expected(size: int) -> bytes:
    """The first bytes of each side's content."""
    return (CONTENT * (size // len(CONTENT) + 1))[:size]
