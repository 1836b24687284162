"""Crowds: thousands of clients and their servers, in processes of their own.

A process may have 20,000 descriptors, so the crowd is spread over several; each obeys the test over
a pipe. Source and server addresses are spread over 127.0.0.0/8, so that ports suffice. What one
client or server of a crowd does is stress/misbehaviour.py's.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from tests.support.common import PATIENCE_SECONDS
from tests.support.servers import receive_count

CONTEXT = multiprocessing.get_context("fork")
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect(), for that peer alone
BACKLOG = 4_096
ANSWER_SECONDS = PATIENCE_SECONDS
CLIENT_SECONDS = PATIENCE_SECONDS

Address = tuple[str, int]


class Helper:
    """A process that obeys; a context manager that ends it."""

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        self.channel, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=work, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def tell(self, *words: object) -> None:
        """Begin something; `answer` says what came of it."""
        self.channel.send(words)

    def answer(self) -> Any:
        """The answer to the oldest unanswered words."""
        assert self.channel.poll(ANSWER_SECONDS), "a helper does not answer"
        found = self.channel.recv()
        assert not isinstance(found, BaseException), f"a helper failed: {found!r}"
        return found

    def ask(self, *words: object) -> Any:
        """Have something done."""
        self.tell(*words)
        return self.answer()

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()
        self.channel.close()


def all_together(helpers: Iterable[Helper], *words: object) -> list[Any]:
    """The same of each helper, at the same time."""
    asked = list(helpers)
    for helper in asked:
        helper.tell(*words)
    return [helper.answer() for helper in asked]


def obey(channel: Connection, orders: dict[str, Callable[..., object]]) -> None:
    """Do what is asked for by name until the process is ended."""
    while True:
        name, *arguments = channel.recv()
        try:
            channel.send(orders[name](*arguments))
        except (OSError, AssertionError) as error:
            channel.send(error)


def connect_from(source: str, target: Address) -> socket.socket:
    """A client from a certain address."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((source, 0))
    client.settimeout(CLIENT_SECONDS)
    client.connect(target)
    return client


class QuietClients:
    """Clients that stay, and sometimes say a word."""

    def __init__(self, target: Address, sources: list[str]) -> None:
        self.target = target
        self.sources = sources
        self.clients: list[socket.socket] = []

    def open(self, count: int) -> int:
        """So many more connections."""
        for number in range(count):
            source = self.sources[number % len(self.sources)]
            self.clients.append(connect_from(source, self.target))
        return len(self.clients)

    def talk(self, turn: int) -> int:
        """Each sends eight bytes of its own; how many got the very same back."""
        said = [b"%4d%4d" % (turn, number % 10_000) for number in range(len(self.clients))]
        for client, words in zip(self.clients, said, strict=True):
            client.sendall(words)
        return sum(
            receive_count(client, len(words)) == words
            for client, words in zip(self.clients, said, strict=True)
        )

    def close(self) -> int:
        """All of them leave; how many."""
        left = len(self.clients)
        for client in self.clients:
            client.close()
        self.clients.clear()
        return left


def be_quiet_clients(channel: Connection, target: Address, sources: list[str]) -> None:
    """The work of a helper: `open`, `talk`, `close`."""
    crowd = QuietClients(target, sources)
    obey(channel, {"open": crowd.open, "talk": crowd.talk, "close": crowd.close})


def be_echo_server(channel: Connection, addresses: list[Address]) -> None:
    """The work of a helper: echo at each address; `open` tells how many connections are open."""
    listeners = {}
    connections: dict[int, socket.socket] = {}
    poll = select.epoll()
    for address in addresses:
        listener = socket.create_server(address, backlog=BACKLOG)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        poll.register(listener, select.EPOLLIN)
    poll.register(channel, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in connections:
                with suppress(ConnectionError):
                    if data := connections[descriptor].recv(65_536):
                        connections[descriptor].sendall(data)
                        continue
                connections.pop(descriptor).close()
            elif descriptor in listeners:
                with suppress(BlockingIOError):
                    while True:
                        connection, _ = listeners[descriptor].accept()
                        connections[connection.fileno()] = connection
                        poll.register(connection, select.EPOLLIN)
            else:
                channel.recv()
                channel.send(len(connections))
