"""TCP servers of a test: each connection is handled by a function in a thread of its own.

`Server` accepts and counts; `CountingServer` says how many were open at once; `silent_port` refuses; `Blackhole` lets connection attempts time out.
Nothing here knows the relay.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.support.common import PATIENCE_SECONDS, free_port

Handler = Callable[[socket.socket], None]


class Server:
    """Listens on loopback and gives each connection to `handler`; closed at the end of the block.

    The handler's socket has a time-out; OSError ends it quietly, and the socket is closed then.
    """

    def __init__(self, handler: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listening = socket.create_server(
            (host, port or free_port()), family=family, backlog=1024
        )
        self.host = host
        self.port: int = self.listening.getsockname()[1]
        self.handler = handler
        self.accepted = 0
        self.open: set[socket.socket] = set()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.accepted += 1
            connection.settimeout(PATIENCE_SECONDS)
            self.open.add(connection)
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self.handler(connection)
        self.open.discard(connection)

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE_SECONDS)


class Recorder(Server):
    """Keeps what each connection brings until its end, or until it is reset."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.received: list[bytes] = []
        super().__init__(self._record, host)

    def _record(self, connection: socket.socket) -> None:
        received = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 20):
                received += data
        self.received.append(bytes(received))


def echo(connection: socket.socket) -> None:
    """Send everything back; its end after the client's."""
    while data := connection.recv(65_536):
        connection.sendall(data)


def named(name: str) -> Handler:
    """A handler that says its name and closes."""

    def say(connection: socket.socket) -> None:
        connection.sendall(name.encode())

    return say


def holding(name: str) -> Handler:
    """A handler that says its name and stays until the client closes."""

    def stay(connection: socket.socket) -> None:
        connection.sendall(name.encode())
        while connection.recv(65_536):
            pass

    return stay


LATE_SECONDS = 0.05  # on a busy machine


class CountingServer:
    """Counts the connections that are open at once; one thread, ends are seen before beginnings.

    Each connection is told its number and kept until its client ends it.
    """

    def __init__(self, places: int = 1 << 30) -> None:
        """`places`: as many as there should be; more are counted if they are there a moment on."""
        self.places = places
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self.listening.getsockname()[1]
        self.open: set[socket.socket] = set()
        self.most = 0
        self.accepted = 0
        self.over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.over:
            readable, _, _ = select.select([self.listening, *self.open], [], [], 0.05)
            if self.listening in readable:
                readable, _, _ = select.select([self.listening, *self.open], [], [], 0)
            for connection in readable:
                if connection is not self.listening:
                    self._hear(connection)
            if self.listening in readable:
                connection, _ = self.listening.accept()
                self.open.add(connection)
                self.accepted += 1
                if len(self.open) > self.places:
                    self._hear_late(self.open - {connection})
                self.most = max(self.most, len(self.open))
                connection.sendall(b"s")

    def _hear_late(self, others: set[socket.socket]) -> None:
        """A FIN sent on another CPU may come behind a SYN that was sent after it."""
        time.sleep(LATE_SECONDS)
        for connection in select.select(others, [], [], 0)[0]:
            self._hear(connection)

    def _hear(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if connection.recv(100):
                return
        self.open.discard(connection)
        connection.close()

    def __enter__(self) -> CountingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.thread.join(PATIENCE_SECONDS)
        for connection in self.open:
            connection.close()
        self.listening.close()


class silent_port:  # noqa: N801  used as a function: `with silent_port() as port`
    """A loopback port that refuses connections and that is given out once."""

    def __enter__(self) -> int:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        port: int = self.socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class Blackhole:
    """A loopback port on which attempts to connect get no answer: its queue is full."""

    def __enter__(self) -> Blackhole:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.port: int = self.listening.getsockname()[1]
        self.fillers = [socket.socket() for _ in range(2)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        return self

    def __exit__(self, *_: object) -> None:
        for filler in self.fillers:
            filler.close()
        self.listening.close()


def reset(connection: socket.socket) -> None:
    """Close with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def receive_all(connection: socket.socket) -> bytes:
    """Everything until the end."""
    received = bytearray()
    while data := connection.recv(1 << 20):
        received += data
    return bytes(received)


def receive_count(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes; fewer only at the end."""
    received = bytearray()
    while len(received) < count and (data := connection.recv(count - len(received))):
        received += data
    return bytes(received)


def is_greeted(port: int) -> bool:
    """Whether a client is greeted here: a busy relay may see a server after the order's answer."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        return client.recv(10) != b""
