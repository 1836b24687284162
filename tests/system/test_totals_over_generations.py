"""Totals over reloads: what old generations count is seen while they live, once, and never falls.

One observer asks all the time, while sessions of several generations transfer, end, and lose their
workers; at the end each total is what the clients know.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import Program

CONFIGURATION = """global
  nbthread 2
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
{before}listen one
  bind 127.0.0.1:{one}
  server a 127.0.0.1:{server}
{after}"""
OTHER = """listen other{number}
  bind 127.0.0.1:{port}
  server x 127.0.0.1:{server}
"""
COLUMNS = {"FRONTEND": (7, 8, 9), "BACKEND": (7, 8, 9, 30), "a": (7, 8, 9, 30)}  # show stat
STOT, BIN, BOUT = 0, 1, 2


def totals(program: Program) -> dict[str, int]:
    """Counters of the program and of `one`; nothing while control is replaced."""
    found: dict[str, int] = {}
    with suppress(OSError):
        for line in program.ask("show stat").splitlines():
            cells = line.split(",")
            if cells[0] == "one":
                found |= {f"{cells[1]} {at}": int(cells[at]) for at in COLUMNS[cells[1]]}
        for line in program.ask("show info").splitlines():
            name, _, value = line.partition(": ")
            if name in ("CumConns", "TotalBytesOut"):
                found[name] = int(value)
    return found


class Observer:
    """Asks until it is told to stop; `fallen` are the totals that were lower than before."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.highest: dict[str, int] = {}
        self.fallen: list[str] = []
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.is_set():
            for name, value in totals(self.program).items():
                if value < self.highest.get(name, 0):
                    self.fallen.append(f"{name}: {value} after {self.highest[name]}")
                self.highest[name] = value
            self.looks += 1
            self._stop.wait(0.02)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


class Traffic:
    """Clients whose servers send back what they get; what they know of totals."""

    def __init__(self, stack: ExitStack, port: int, listening: socket.socket) -> None:
        self.stack, self.port, self.listening = stack, port, listening
        self.sessions = self.bytes = 0

    def connect(self) -> socket.socket:
        client = self.stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
        client.settimeout(PATIENCE_SECONDS)
        self.sessions += 1
        self.send(client, 10)
        return client

    def send(self, client: socket.socket, count: int) -> None:
        client.sendall(b"x" * count)
        left = count
        while left:
            left -= len(client.recv(left))
        self.bytes += count


@contextmanager
def echoing() -> Iterator[socket.socket]:
    """A server on a free port that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listening.accept()[0],)).start()

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while chunk := connection.recv(65_536):
                    connection.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def old_workers(program: Program) -> list[int]:
    lines = program.ask("show proc").partition("# old workers\n")[2].splitlines()
    return [int(line.split()[0]) for line in lines if line[:1].isdigit()]


def text(port: int, server: int, *, before: int = 0, after: int = 0) -> str:
    """Other proxies stand before and after, so that numbers of the same change."""
    others = [
        OTHER.format(number=number, port=free_port(), server=server)
        for number in range(before + after)
    ]
    return CONFIGURATION.format(
        before="".join(others[:before]), after="".join(others[before:]), one=port, server=server
    )


def test_totals_never_fall_and_never_count_twice(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listening = stack.enter_context(echoing())
        server, port = listening.getsockname()[1], free_port()
        program = stack.enter_context(Program(tmp_path, text(port, server, after=1)))
        observer = Observer(program)
        stack.callback(observer.end)
        clients = stack.enter_context(ExitStack())
        traffic = Traffic(clients, port, listening)

        def exact() -> bool:
            """Each total is what the clients know, while old generations live."""
            seen = totals(program)
            return bool(seen) and all(
                seen[f"{row} {column}"] == wanted
                for row in COLUMNS
                for column, wanted in (
                    (7, traffic.sessions),
                    (8, traffic.bytes),
                    (9, traffic.bytes),
                )
            )

        def reload(number: int, **others: int) -> None:
            program.write(text(port, server, **others))
            program.process.send_signal(signal.SIGUSR2)
            done = f"reload done: generation {number} serves"
            wait_for(lambda: done in program.output.read_text(), PATIENCE_SECONDS, done)

        first = [traffic.connect() for _ in range(4)]
        reload(2, before=1)
        for client in first:
            traffic.send(client, 1_000)
        wait_for(exact, PATIENCE_SECONDS, "what the first generation counts is seen while it lives")
        second = [traffic.connect() for _ in range(4)]
        reload(3, before=2, after=1)
        for client in (*first, *second):
            traffic.send(client, 3_000)
        wait_for(exact, PATIENCE_SECONDS, "that of two old generations")
        for client in first[:2]:
            client.close()
        third = traffic.connect()
        for pid in old_workers(program):
            os.kill(pid, signal.SIGKILL)  # some of the sessions end with it
        wait_for(exact, PATIENCE_SECONDS, "a killed worker's counters are kept")
        reload(4)
        traffic.send(third, 500)
        for client in (*first, *second, third):
            client.close()
        wait_for(lambda: not old_workers(program), PATIENCE_SECONDS, "all old workers have ended")
        traffic.connect()
        wait_for(exact, PATIENCE_SECONDS, "nothing is counted twice")
        observer.end()
        assert observer.looks > 20
        assert not observer.fallen
        seen = totals(program)
        assert (seen["CumConns"], seen["TotalBytesOut"]) == (traffic.sessions, traffic.bytes)
