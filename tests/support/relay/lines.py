"""Clients of sections that log, at HAProxy and at Millrace: each one's line, or that there is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

HEAD = """\
global
  stats socket {folder}/s level admin
  log {log} format raw local0
defaults
  mode tcp
  log global
  retries 0
  timeout connect 2s
  timeout client 4s
  timeout server 4s
"""


class Logging(NamedTuple):
    """A section, what its clients send one after another, and how the last one ends."""

    lines: tuple[str, ...]
    sent: tuple[bytes, ...] = (b"hello",)
    bind: str = ""
    others: str = ""  # further sections; `<other>` is the name of one, `<server>` an address
    backend: tuple[str, ...] = ()
    reset: bool = False
    options: str = ""  # of the server


class Server:
    """Takes what comes until its end, keeps it, and says nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.heard: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self.heard.append(b"".join(iter(lambda: client.recv(65_536), b"")))

    def close(self) -> None:
        """Listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def written(cases: Sequence[Logging], ports: Sequence[int], server: int) -> str:
    """The file with a section for each case."""
    text = HEAD.replace("{", "{{").replace("}", "}}").replace("{{folder}}", "{folder}")
    found = text.replace("{{log}}", "{log}")
    for number, (case, port) in enumerate(zip(cases, ports, strict=True)):
        body = f"\nfrontend f{number}\n  bind 127.0.0.1:{port} {case.bind}\n"
        body += "".join(f"  {line}\n" for line in case.lines)
        body += f"  default_backend b{number}\nbackend b{number}\n"
        body += "".join(
            f"  {line}\n" for line in (*case.backend, f"server s1 <server> {case.options}")
        )
        body += case.others
        for name, value in {
            "server": f"127.0.0.1:{server}",
            "me": f"f{number}",
            "own": f"b{number}",
            "other": f"o{number}",
        }.items():
            body = body.replace(f"<{name}>", value)
        found += body.replace("{", "{{").replace("}", "}}").replace("<log>", "{log}")
    return found


def play(port: int, sent: bytes, *, reset: bool) -> None:
    """One client, which sends and finishes, or breaks its connection."""
    with socket.socket() as client, suppress(OSError):
        client.settimeout(PATIENCE_SECONDS)
        client.connect(("127.0.0.1", port))
        client.sendall(sent)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        client.shutdown(socket.SHUT_WR)
        while client.recv(65_536):
            pass


def line_of(program: OneProgram, seconds: float = PATIENCE_SECONDS) -> str:
    """The next line of the log; "" for none."""
    program.log.setblocking(True)
    program.log.settimeout(seconds)
    try:
        return program.log.recv(65_536).decode("latin-1").rstrip("\n")
    except TimeoutError:
        return ""
    finally:
        program.log.setblocking(False)


def is_idle(program: OneProgram) -> bool:
    """Whether no session is left; a line may be there before, and the client may have its end."""
    lines = [line.split(",") for line in program.ask("show stat -1 1 -1").splitlines() if line]
    return all(line[lines[0].index("scur")] == "0" for line in lines[1:])


@contextmanager
def logging(
    name: str, folder: Path, cases: Sequence[Logging], server: Server
) -> Iterator[tuple[OneProgram, list[int]]]:
    """A program that has these sections, with their ports."""
    ports = [free_port() for _ in cases]
    text = written(cases, ports, server.port)
    with one_program(PROGRAMS[name](), folder / name, text, {}) as program:
        while line_of(program, 0.3):
            pass  # what it says of itself
        yield program, ports


def lines_of_both(folder: Path, cases: Sequence[Logging]) -> dict[str, list[list[str]]]:
    """The lines of each case's clients, by the program."""
    found: dict[str, list[list[str]]] = {}
    server = Server()
    try:
        for name in ("haproxy", "millrace"):
            with logging(name, folder, cases, server) as (program, ports):
                found[name] = []
                for case, port in zip(cases, ports, strict=True):
                    lines = []
                    for sent in case.sent:
                        play(port, sent, reset=case.reset)
                        lines.append(line_of(program))
                        wait_for(lambda: is_idle(program), PATIENCE_SECONDS, "its session's end")
                    found[name].append(lines)
    finally:
        server.close()
    return found
