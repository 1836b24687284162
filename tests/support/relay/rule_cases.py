"""Clients that meet rules of connections, at HAProxy and at Millrace: the same sections, the same
steps, and what each client, each log line and each counter then says.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

SILENCE_SECONDS = (
    2.5  # a client that hears nothing for so long was told nothing: far from all time-outs
)
GREETING = {"S1": b"one:", "S2": b"two:"}
HEAD = """global
  stats socket {folder}/s level admin
  log {log} local0
defaults
  mode tcp
  retries 0
  log global
  log-format "%ft %b/%s %B %U %ts %rc %sq/%bq"
  timeout connect 2s
  timeout client 8s
  timeout server 8s
"""
COUNTED = (
    "stot",
    "dreq",
    "dresp",
    "dcon",
    "dses",
    "ereq",
    "bin",
    "bout",
    "lbtot",
    "conn_tot",
    "econ",
)


class Pause(NamedTuple):
    """A client waits so long before its next step."""

    seconds: float


class Finish:
    """A client says that it sends no more."""


class Reset:
    """A client breaks its connection."""


class Hear(NamedTuple):
    """A client waits until it has heard so much."""

    text: bytes


Step = bytes | Pause | Finish | Reset | Hear


class Case(msgspec.Struct, frozen=True):
    """One client of one frontend; the lines may name two servers, <s1> and <s2>, and <other>.

    Each server says who it is at once, and then what it hears. `others` are further sections.
    """

    name: str
    lines: str
    steps: tuple[Step, ...] = ()
    others: str = ""
    source: str = "127.0.0.1"


class Met(msgspec.Struct, frozen=True):
    """What became of a client."""

    heard: bytes
    end: str
    lines: tuple[str, ...]
    counters: dict[str, str]


SERVERS = "  server s1 <s1>\n"
TWO = "\nbackend <other>\n  server s2 <s2>\n"
HELLO = (b"hello", Hear(b"hello"), Finish())


def rules(*lines: str) -> str:
    """The lines of a `listen` section with one server."""
    return "".join(f"  {line}\n" for line in lines) + SERVERS


def front(*lines: str) -> str:
    """The lines of a frontend in front of <other>."""
    return "".join(f"  {line}\n" for line in (*lines, "default_backend <other>"))


class Servers:
    """Two servers that greet, and say again what they hear."""

    def __init__(self) -> None:
        self.ports = {name: free_port() for name in GREETING}
        self._listening = [self._listen(name) for name in GREETING]

    def _listen(self, name: str) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", self.ports[name]), backlog=128)
        threading.Thread(target=self._accept, args=(listening, GREETING[name]), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket, greeting: bytes) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=_serve, args=(client, greeting), daemon=True).start()

    def close(self) -> None:
        for listening in self._listening:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()


def _serve(client: socket.socket, greeting: bytes) -> None:
    with client, suppress(OSError):
        client.sendall(greeting)
        while received := client.recv(65_536):
            client.sendall(received)


def play(case: Case, port: int) -> tuple[bytes, str]:
    """Take a client's steps; what it heard, and how its connection ended."""
    with socket.socket() as client:
        client.bind((case.source, 0))
        client.settimeout(PATIENCE_SECONDS)
        heard = b""
        try:
            client.connect(("127.0.0.1", port))
            for step in case.steps:
                if isinstance(step, bytes):
                    client.sendall(step)
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                elif isinstance(step, Finish):
                    client.shutdown(socket.SHUT_WR)
                elif isinstance(step, Reset):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return heard, "left"
                else:
                    while step.text not in heard:
                        received = client.recv(65_536)
                        if not received:
                            return heard, "finished"
                        heard += received
            client.settimeout(SILENCE_SECONDS)
            while received := client.recv(65_536):
                heard += received
        except TimeoutError:
            return heard, "silence"
        except OSError:  # broken, whichever step found it
            return heard, "reset"
        return heard, "finished"


def configuration(cases: Sequence[Case], ports: Sequence[int], servers: Servers) -> str:
    """The file with a frontend for each case."""
    found = HEAD
    for number, (case, port) in enumerate(zip(cases, ports, strict=True)):
        names = {name.lower(): f"127.0.0.1:{port}" for name, port in servers.ports.items()}
        names |= {"me": f"f{number}", "other": f"b{number}"}
        found += f"\n{_kind(case)} f{number}\n  bind 127.0.0.1:{port}\n"
        found += _filled(case.lines, names) + _filled(case.others, names)
    return found


def _kind(case: Case) -> str:
    return "frontend" if "<other>" in case.lines else "listen"


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"<{name}>", value)
    return text.rstrip().replace("{", "{{").replace("}", "}}") + "\n"


@contextmanager
def serving() -> Iterator[Servers]:
    """Both servers."""
    servers = Servers()
    try:
        yield servers
    finally:
        servers.close()


def meet(cases: Sequence[Case], program: str, folder: Path, servers: Servers) -> dict[str, Met]:
    """What each client met at one program; all play at the same time."""
    ports = [free_port() for _ in cases]
    told: list[tuple[bytes, str]] = [(b"", "")] * len(cases)

    def run(number: int) -> Callable[[], None]:
        def one() -> None:
            told[number] = play(cases[number], ports[number])

        return one

    text = configuration(cases, ports, servers)
    with one_program(PROGRAMS[program](), folder, text, {}) as made:
        threads = [threading.Thread(target=run(number)) for number in range(len(cases))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: _quiet(made), PATIENCE_SECONDS, "every session ends")
        rows = {(row["# pxname"], row["svname"]): row for row in _stat(made)}
        sessions = sum(int(row["stot"]) for (_, name), row in rows.items() if name == "FRONTEND")
        wait_for(lambda: _logged(made) >= sessions, PATIENCE_SECONDS, "each session's line")
        return {
            case.name: Met(heard, end, _lines(made, number), _counters(rows, number))
            for number, (case, (heard, end)) in enumerate(zip(cases, told, strict=True))
        }


def _quiet(made: OneProgram) -> bool:
    return all(row["scur"] in ("", "0") for row in _stat(made))


def _logged(made: OneProgram) -> int:
    """How many lines have come of sessions."""
    made.read()
    return sum(text.partition("]: ")[2].startswith("f") for _, text in made.lines)


def _stat(made: OneProgram) -> list[dict[str, str]]:
    head, *lines = made.ask("show stat").strip().splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


def _lines(made: OneProgram, number: int) -> tuple[str, ...]:
    found = (text.partition("]: ")[2] for _, text in made.lines)
    return tuple(sorted(line.strip() for line in found if line.startswith(f"f{number} ")))


def _counters(rows: dict[tuple[str, str], dict[str, str]], number: int) -> dict[str, str]:
    found = {}
    for (proxy, name), row in rows.items():
        if proxy in (f"f{number}", f"b{number}"):
            found |= {f"{proxy[0]} {name} {column}": row[column] for column in COUNTED}
    return found


def met_by_both(cases: Sequence[Case], folder: Path) -> dict[str, dict[str, Met]]:
    """What each client met, by program and by the name of its case."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "each case has a name of its own"
    with serving() as servers:
        return {program: meet(cases, program, folder / program, servers) for program in PROGRAMS}
