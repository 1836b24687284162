"""Programs whose sessions are held open by the test, and what `show sess` says of them."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

CONFIGURATION = """global
  nbthread {workers}
  stats socket {{socket}} level admin
  {more}
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen one
  bind 127.0.0.1:{one}
  server a 127.0.0.1:{server}
listen two
  bind 127.0.0.1:{two}
  server b 127.0.0.1:{server}
  server c 127.0.0.1:{server}
"""
ID = re.compile(r"^(0x[0-9a-f]{25}): ", re.MULTILINE)
SOURCE = re.compile(r"src=127\.0\.0\.1:(\d+) ")


class Running(NamedTuple):
    """A program, its two ports, and what holds connections."""

    program: Program
    ports: tuple[int, int]
    stack: ExitStack

    def connect(self, port: int, count: int) -> list[socket.socket]:
        """Clients, each of which has heard from its server."""
        made = []
        for _ in range(count):
            client = self.stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.settimeout(PATIENCE_SECONDS)
            assert client.recv(1) == b"h"
            made.append(client)
        return made

    def ask(self, command: str) -> str:
        """The answer, once all workers give theirs: on a busy machine one may be late."""

        def answer() -> str:
            text = self.program.ask(command)
            return "" if "does not answer" in text else text

        return wait_for(answer, PATIENCE_SECONDS, "all workers answer")

    def shown(self, words: str = "") -> set[int]:
        """Ports of the clients whose sessions are shown, each once."""
        found = [int(port) for port in SOURCE.findall(self.ask(f"show sess {words}"))]
        assert len(found) == len(set(found))
        return set(found)


@contextmanager
def running(folder: Path, workers: int, more: str = "") -> Iterator[Running]:
    """A program with two proxies; its servers greet each client, then say what they hear."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=500))

        def serve() -> None:
            while True:
                try:
                    connection = stack.enter_context(listening.accept()[0])
                except OSError:
                    return
                connection.sendall(b"h")

        server = threading.Thread(target=serve)
        server.start()
        ports = free_port(), free_port()
        text = CONFIGURATION.format(
            workers=workers,
            more=more,
            one=ports[0],
            two=ports[1],
            server=listening.getsockname()[1],
        )
        with Program(folder, text) as program, ExitStack() as clients:
            try:
                yield Running(program, ports, clients)
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                server.join()


def leave(client: socket.socket) -> None:
    """By a reset: the servers end nothing by themselves."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def ports_of(clients: list[socket.socket]) -> set[int]:
    """Where the clients come from."""
    return {client.getsockname()[1] for client in clients}


def shown_by_now(there: Running, clients: list[socket.socket]) -> None:
    """Wait until the sessions are shown: those of the same millisecond are not yet."""
    wait_for(lambda: ports_of(clients) <= there.shown(), PATIENCE_SECONDS, "all are shown")
