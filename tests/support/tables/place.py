"""One program whose sections have stick tables: clients that stay, and what the tables then show."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

HEAD = """global
  stats socket {folder}/s level admin
  nbthread 2
defaults
  mode tcp
  retries 0
  timeout connect 2s
  timeout client 8s
  timeout server 8s
"""
EVERY = "-1"  # section of `show stat`
GREETING = b"one:"
REFUSED = "refused"
SERVED = "served"


class TablePlace:
    """One program; notes what is seen."""

    def __init__(self, program: OneProgram, ports: Mapping[str, int]) -> None:
        self.program, self.ports = program, ports
        self.seen: list[object] = []

    def come(self, section: str, host: int = 2) -> socket.socket:
        """A client from 127.0.0.<host>; it has not heard anything yet."""
        client = socket.socket()
        client.settimeout(PATIENCE_SECONDS)
        client.bind((f"127.0.0.{host}", 0))
        with suppress(ConnectionResetError):  # it may be refused that early
            client.connect(("127.0.0.1", self.ports[section]))
        return client

    def stay(self, section: str, host: int = 2) -> socket.socket:
        """A client that stays after it was greeted, or refused; notes which."""
        client = self.come(section, host)
        self.seen.append((section, host, SERVED if heard(client, GREETING) else REFUSED))
        return client

    def visit(self, section: str, host: int = 2, *sent: bytes) -> None:
        """A client that sends, hears all of that again, and leaves."""
        with self.stay(section, host) as client, suppress(OSError):
            for part in sent:
                client.sendall(part)
                heard(client, part)
        self.quiet(EVERY if section.startswith("f_") else section)

    def quiet(self, section: str = EVERY) -> None:
        """Wait until no session is there; one section answers sooner than all of a large file."""
        wait_for(lambda: set(self._sessions(section)) <= {"", "0"}, PATIENCE_SECONDS, "no session")

    def _sessions(self, section: str) -> Iterator[str]:
        head, *rows = self.program.ask(f"show stat {section} -1 -1").strip().splitlines()
        column = head.split(",").index("scur")
        return (row.split(",")[column] for row in rows)

    def table(self, name: str, *hidden: str) -> None:
        """Note a table in the order of keys, without addresses, ages and this data."""
        self.seen.append(shown(self.program.ask(f"show table {name}"), *hidden))

    def order(self, command: str) -> None:
        self.seen.append((command, self.program.ask(command).strip()))


def shown(said: str, *hidden: str) -> tuple[str, list[str]]:
    """What `show table` says, in the order of keys, without what differs by nature."""
    for name in hidden:
        said = re.sub(rf" {name}(\(\d+\))?=\S+", "", said)
    head, *rows = re.sub(r"0x\w+: | exp=\d+", "", said).strip().splitlines()
    return head, sorted(rows)


def heard(client: socket.socket, text: bytes) -> bool:
    """Whether the client hears so many bytes before its connection ends."""
    found = b""
    try:
        while len(found) < len(text):
            received = client.recv(len(text) - len(found))
            if not received:
                return False
            found += received
    except OSError:
        return False
    return found == text


@contextmanager
def table_place(
    name: str, folder: Path, sections: Mapping[str, Sequence[str]], server: int
) -> Iterator[TablePlace]:
    """A program with these sections: `listen`, or where the name begins so `f_`, `b_`.

    Connections of `p_` begin with a PROXY header.

    `server` is the port of the one server, which greets.
    """
    ports = {section: free_port() for section in sections if not section.startswith("b_")}
    text = HEAD
    for section, lines in sections.items():
        if section not in ports:
            text += f"backend {section}\n"
        else:
            kind = "frontend" if section.startswith("f_") else "listen"
            headed = " accept-proxy" if section.startswith("p_") else ""
            text += f"{kind} {section}\n  bind 127.0.0.1:{ports[section]}{headed}\n"
        text += "".join(f"  {line}\n" for line in lines).replace("{", "{{").replace("}", "}}")
        if not section.startswith("f_"):
            text += f"  server s1 127.0.0.1:{server}\n"
    with one_program(PROGRAMS[name](), folder / name, text, {}) as program:
        yield TablePlace(program, ports)
