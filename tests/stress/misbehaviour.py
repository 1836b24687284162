"""Clients and servers that misbehave, each in its own way, by the thousand.

`MISBEHAVIOURS` is the table: what clients do, what their server does, how the session ends for the
log (HAProxy's two letters; several where it is a matter of who is faster), and how many of them.
Runs in the helper processes of support/relay/crowd.py.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from tests.support.relay.crowd import BACKLOG, CLIENT_SECONDS, Address, connect_from, obey
from tests.support.servers import reset

CHUNK = bytes(65_536)
STALL_SECONDS = 8.0  # longer than any time-out
MUCH = 200_000  # bytes of an answer that is cut short

Clients = list[socket.socket]


def say(clients: Clients) -> None:
    for client in clients:
        client.sendall(b"x")


def hear(clients: Clients) -> None:
    for client in clients:
        with suppress(ConnectionError):
            client.recv(100)


def reset_all(clients: Clients) -> None:
    for client in clients:
        reset(client)


def wait_for_ends(clients: Clients) -> None:
    """Read until the other end of each is gone; then they close."""
    poll = select.poll()
    left = {client.fileno(): client for client in clients}
    for client in clients:
        poll.register(client, select.POLLIN)
    deadline = time.monotonic() + CLIENT_SECONDS
    while left:
        assert time.monotonic() < deadline, f"{len(left)} sessions never end"
        for descriptor, _ in poll.poll(1_000):
            with suppress(ConnectionError):
                if left[descriptor].recv(len(CHUNK)):
                    continue
            poll.unregister(descriptor)
            left.pop(descriptor).close()


def finish(clients: Clients) -> None:
    for client in clients:
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


def close_all(clients: Clients) -> None:
    for client in clients:
        client.close()


def resets_after_bytes(clients: Clients) -> None:
    say(clients)
    hear(clients)
    reset_all(clients)


def resets_while_reading(clients: Clients) -> None:
    hear(clients)
    reset_all(clients)


def resets_unserved(clients: Clients) -> None:
    """Long before the attempt to connect ends, and after it began."""
    say(clients)
    time.sleep(0.1)
    reset_all(clients)


def resets_after_fin(clients: Clients) -> None:
    """The server says when the FIN has arrived there."""
    say(clients)
    finish(clients)
    hear(clients)
    reset_all(clients)


def half_closes(clients: Clients) -> None:
    say(clients)
    finish(clients)
    wait_for_ends(clients)


def trickles(clients: Clients) -> None:
    """One byte a second, three times: slower than the time-outs would allow without any byte."""
    for _ in range(3):
        say(clients)
        hear(clients)
        time.sleep(1)
    close_all(clients)


def asks(clients: Clients) -> None:
    say(clients)
    wait_for_ends(clients)


def reads_nothing(clients: Clients) -> None:
    """Longer than the time-outs; its window is closed, so that it sees no end either."""
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, len(CHUNK))
    time.sleep(STALL_SECONDS)
    close_all(clients)


def leaves(clients: Clients) -> None:
    hear(clients)
    close_all(clients)


class Behaviour:
    """A server's connection: what it does when something happens; echoes until told otherwise."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def came(self) -> None:
        """Accepted."""

    def heard(self, data: bytes) -> None:
        """Bytes from the client."""
        self.connection.sendall(data)

    def finished(self) -> None:
        """A FIN from the client."""
        self.connection.close()

    def writable(self) -> None:
        """There is room for bytes again."""


class Silent(Behaviour):
    """Hears everything, says nothing, never closes."""

    def heard(self, data: bytes) -> None:
        pass

    def finished(self) -> None:
        pass


class Deaf(Silent):
    """Says when it saw the client's FIN, and stays."""

    def finished(self) -> None:
        self.connection.send(b"f")


class Endless(Silent):
    """Sends without end."""

    def came(self) -> None:
        self.writable()

    def writable(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.connection.send(CHUNK)


class ResetsAtOnce(Behaviour):
    def came(self) -> None:
        reset(self.connection)


class ResetsAfterBytes(Behaviour):
    def heard(self, data: bytes) -> None:
        reset(self.connection)


class ResetsWhileSending(Behaviour):
    def heard(self, data: bytes) -> None:
        with suppress(BlockingIOError):
            self.connection.send(bytes(MUCH))
        reset(self.connection)


class ClosesUnread(Behaviour):
    def came(self) -> None:
        self.connection.close()


class Misbehaviour(NamedTuple):
    """`server` None: no listener; "full": its queue of connections is full."""

    name: str
    clients: Callable[[Clients], None]
    server: type[Behaviour] | str | None
    codes: frozenset[str]
    haproxy: frozenset[str]  # its codes
    count: int
    together: int  # so many at once, in each process
    waits: bool  # for a time-out, or longer

    def ended_so(self, ends: Counter[str]) -> int:
        """How many of these sessions may have been of this kind."""
        return sum(ends[code] for code in self.codes)


def entry(
    name: str,
    clients: Callable[[Clients], None],
    server: type[Behaviour] | str | None,
    codes: str,
    count: int,
    together: int = 50,
    *,
    haproxy: str = "",
    waits: bool = False,
) -> Misbehaviour:
    ours, theirs = frozenset(codes.split()), frozenset((haproxy or codes).split())
    return Misbehaviour(name, clients, server, ours, theirs, count, together, waits)


MISBEHAVIOURS = (
    entry("the client resets at once", reset_all, Behaviour, "CC CD", 14_000, haproxy="CC CD CR"),
    entry("the client resets after bytes", resets_after_bytes, Behaviour, "CD", 14_000),
    entry("the client resets while it reads", resets_while_reading, Endless, "CD", 1_000, 10),
    entry("the client resets unserved", resets_unserved, "full", "CC", 4_000, 500, haproxy="CD"),
    entry("the client resets after its FIN", resets_after_fin, Deaf, "sD CD", 12_000),
    entry("the client half-closes and waits", half_closes, Behaviour, "--", 14_000),
    entry(
        "the client half-closes, the server stays",
        half_closes,
        Silent,
        "sD",
        1_000,
        500,
        waits=True,
    ),
    entry("the client sends a byte a second", trickles, Behaviour, "--", 500, 250),
    entry("the client reads nothing", reads_nothing, Endless, "cD sD", 200, 100, waits=True),
    entry("the client leaves an endless server", leaves, Endless, "CD", 1_000, 10),
    entry("the server says nothing", asks, Silent, "sD", 2_000, 1_000, waits=True),
    entry("the server never accepts", asks, "full", "sC", 2_000, 1_000, waits=True),
    entry("the server refuses", asks, None, "SC", 14_000),
    entry("the server resets at once", asks, ResetsAtOnce, "SC SD", 8_000),
    entry("the server resets after bytes", asks, ResetsAfterBytes, "SD", 8_000),
    entry("the server resets while it sends", asks, ResetsWhileSending, "-- SD", 1_000, 10),
    entry("the server closes unread", asks, ClosesUnread, "-- SD", 4_000),
)


class Mischief:
    """Clients that all misbehave in the same way, some at a time."""

    def __init__(self, sources: list[str]) -> None:
        self.sources = sources

    def run(self, position: int, target: Address, count: int) -> int:
        """So many of them, one after the other or together, as the table says."""
        how = MISBEHAVIOURS[position]
        left = count
        while left:
            number = min(how.together, left)
            how.clients(
                [connect_from(self.sources[at % len(self.sources)], target) for at in range(number)]
            )
            left -= number
        return count


def be_mischievous_clients(channel: Connection, sources: list[str]) -> None:
    """The work of a helper: `run`."""
    obey(channel, {"run": Mischief(sources).run})


class Servers:
    """One address for each behaviour, in one process."""

    def __init__(self, channel: Connection, addresses: dict[type[Behaviour], Address]) -> None:
        self.channel = channel
        self.poll = select.epoll()
        self.listeners: dict[int, tuple[socket.socket, type[Behaviour]]] = {}
        self.connections: dict[int, Behaviour] = {}
        self.poll.register(channel, select.EPOLLIN)
        for kind, address in addresses.items():
            listener = socket.create_server(address, backlog=BACKLOG)
            listener.setblocking(False)
            self.listeners[listener.fileno()] = listener, kind
            self.poll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve until the process is ended; tell how many connections are open when asked."""
        while True:
            for descriptor, events in self.poll.poll():
                if descriptor in self.connections:
                    self.handle(descriptor, events)
                elif descriptor in self.listeners:
                    self.accept(*self.listeners[descriptor])
                else:
                    self.channel.recv()
                    self.channel.send(len(self.connections))

    def accept(self, listener: socket.socket, kind: type[Behaviour]) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                descriptor = connection.fileno()
                served = self.connections[descriptor] = kind(connection)
                wanted = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET | select.EPOLLRDHUP
                self.poll.register(connection, wanted)
                self.act(descriptor, served.came)

    def handle(self, descriptor: int, events: int) -> None:
        served = self.connections[descriptor]
        if events & (select.EPOLLERR | select.EPOLLHUP):
            self.act(descriptor, served.connection.close)
            return
        if events & select.EPOLLIN:
            self.act(descriptor, lambda: self.hear(served))
        if events & select.EPOLLOUT and served.connection.fileno() >= 0:
            self.act(descriptor, served.writable)

    def hear(self, served: Behaviour) -> None:
        with suppress(BlockingIOError):
            while served.connection.fileno() >= 0:
                if data := served.connection.recv(65_536):
                    served.heard(data)
                    continue
                served.finished()
                return

    def act(self, descriptor: int, action: Callable[[], None]) -> None:
        """Do something with a connection; one that is closed by it, or broken, is forgotten."""
        served = self.connections[descriptor]
        try:
            action()
        except ConnectionError:
            served.connection.close()
        if served.connection.fileno() < 0:
            self.connections.pop(descriptor, None)


def be_misbehaving_servers(channel: Connection, addresses: dict[type[Behaviour], Address]) -> None:
    """The work of a helper: serve, and answer how many connections are open."""
    Servers(channel, addresses).run()
