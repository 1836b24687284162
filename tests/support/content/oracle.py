"""What HAProxy finds in first bytes: whether it decides at once or waits, and the value.

Each expression has two frontends: one accepts whatever it finds, the other looks for a value that
there is not, so that it waits exactly where more bytes may change what was found.
"""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

HEAD = """\
global
  nbthread 1
  maxconn 4000
  stats socket {{folder}}/s level admin
defaults
  mode tcp
  log {{log}} len 60000 local0
  log-format "%fp:%cp %ts %[var(sess.found)]"
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend fence
  bind 127.0.0.1:{fence}
  tcp-request content reject
"""
FRONTEND = """\
frontend {name}
  bind 127.0.0.1:{port} defer-accept
  tcp-request inspect-delay 60s
  tcp-request content set-var(sess.found) {expression},hex
  tcp-request content accept if {{{{ {expression} {probe} }}}}
  tcp-request content reject
"""
FOUND, ABSENT = "-m found", "-m str -- no-value-that-there-is"
AT_ONCE = 40  # connections: as many log lines as the socket surely holds
FENCES = 3
ASKED_AGAIN = 3


class Look(NamedTuple):
    """What was found; `value` in hexadecimal digits, "" also for none.

    `unsettled`: more bytes may change it, or bring it.
    """

    found: bool
    unsettled: bool
    value: str


def _unacknowledged(client: socket.socket) -> int:
    """Bytes that the kernel of the other side has not taken yet."""
    count = array.array("i", [0])
    fcntl.ioctl(client, termios.TIOCOUTQ, count)
    return count[0]


def _name(client: socket.socket) -> str:
    """How the log line names it: a number of a client's port serves for several servers."""
    return f"{client.getpeername()[1]}:{client.getsockname()[1]}"


class Oracle:
    """A running HAProxy with the frontends of some expressions."""

    def __init__(self, program: OneProgram, fence: int, ports: Sequence[tuple[int, int]]) -> None:
        self._program = program
        self._fence = fence
        self._ports = ports
        self._ends: dict[str, tuple[str, str]] = {}

    def looks(self, questions: Sequence[tuple[int, bytes]]) -> Iterator[Look]:
        """The answer to each: the number of an expression, and the bytes that are there."""
        for at in range(0, len(questions), AT_ONCE):
            part = questions[at : at + AT_ONCE]
            found = self._decided([(self._ports[number][0], data) for number, data in part])
            absent = self._decided([(self._ports[number][1], data) for number, data in part])
            for (verdict, value), (other, _) in zip(found, absent, strict=True):
                assert verdict != "Y" or other != "Y", "no value is the one that there is not"
                unsettled = "W" in (verdict, other)
                yield Look(verdict == "Y", unsettled, value if verdict == "Y" else "")

    def _decided(self, clients: Sequence[tuple[int, bytes]]) -> list[tuple[str, str]]:
        """Y, N or W for each (it accepts, rejects, waits), and the value that was found.

        On a busy machine fences may overtake a client: what seems to wait is asked again.
        """
        ends = self._asked(clients)
        for _ in range(ASKED_AGAIN):
            waiting = [number for number, (verdict, _) in enumerate(ends) if verdict == "W"]
            again = self._asked([clients[number] for number in waiting])
            for number, end in zip(waiting, again, strict=True):
                ends[number] = end
        return ends

    def _asked(self, clients: Sequence[tuple[int, bytes]]) -> list[tuple[str, str]]:
        with ExitStack() as stack:
            mine, sockets = [], []
            for port, data in clients:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(data)
                sockets.append(client)
                mine.append(_name(client))
            wait_for(lambda: not any(map(_unacknowledged, sockets)), PATIENCE_SECONDS, "the bytes")
            for _ in range(FENCES):
                self._pass_fence()
            decided = {name: self._ends.pop(name) for name in mine if name in self._ends}
        self._wait_for([name for name in mine if name not in decided])
        ends = [decided.get(name) for name in mine]
        return [
            ("W", "") if end is None else ("N" if end[0] == "PR" else "Y", end[1]) for end in ends
        ]

    def _pass_fence(self) -> None:
        with socket.create_connection(("127.0.0.1", self._fence), PATIENCE_SECONDS) as client:
            client.recv(1)
            self._wait_for([_name(client)])

    def _wait_for(self, names: Sequence[str]) -> None:
        """Wait for the log lines of these clients, which are forgotten."""
        missing = set(names) - self._ends.keys()
        while missing:
            readable, _, _ = select.select([self._program.log], [], [], PATIENCE_SECONDS)
            assert readable, f"no log line of {missing}"
            line = self._program.log.recv(65_536).decode()
            name, end, *value = line.split(": ", 1)[1].split()
            self._ends[name] = (end, "".join(value).replace("-", ""))
            missing.discard(name)
        for name in names:
            del self._ends[name]


@contextmanager
def oracle(folder: Path, expressions: Sequence[str]) -> Iterator[Oracle]:
    """Start HAProxy with these expressions."""
    fence = free_port()
    ports = [(free_port(), free_port()) for _ in expressions]
    text = HEAD.format(fence=fence)
    for number, expression in enumerate(expressions):
        for kind, probe in enumerate((FOUND, ABSENT)):
            text += FRONTEND.format(
                name=f"f{number}-{kind}",
                port=ports[number][kind],
                expression=expression,
                probe=probe,
            )
    with one_program(PROGRAMS["haproxy"](), folder / "haproxy", text, {}) as program:
        yield Oracle(program, fence, ports)
