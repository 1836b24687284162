"""Debian's HAProxy and Millrace check the same scripted servers: what each sent, judged and told.

A case is a backend with a server of its own, which does the same in each of its connections.
"""

from __future__ import annotations

import csv
import fcntl
import io
import itertools
import re
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.common import PATIENCE_SECONDS, free_port, links_of, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.resting import sleeps
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  option log-health-checks
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
{defaults}
listen edge
  bind 127.0.0.1:{port}
{backends}
"""
CHECK = "check inter 2s fall 1 rise 1"  # `timeout check` limits it: the machine may be busy
# HAProxy adds the last error that it knows of, sometimes, be it another connection's, or because the
# server has closed meanwhile.
ERRNO = re.compile(r"(?:(?<=handshake failure)|(?<= the configured one)) \([A-Z][a-z ]+\)")
CHECKERS: list[int] = []  # processes that were found to check, the last one first
ESTABLISHED = 1  # <netinet/tcp.h>
Act = Callable[[socket.socket, bytearray], None]


def receive(count: int) -> Act:
    """Take so many bytes."""

    def act(connection: socket.socket, received: bytearray) -> None:
        while len(received) < count:
            data = connection.recv(count - len(received))
            if not data:
                raise OSError("the check has ended")
            received += data

    return act


def send(data: bytes) -> Act:
    """Send these bytes."""
    return lambda connection, _received: connection.sendall(data)


def hold(connection: socket.socket, received: bytearray) -> None:
    """Do nothing more until the check closes."""
    while data := connection.recv(4096):
        received += data


def end_of(connection: socket.socket, received: bytearray) -> None:
    """Do nothing more, and tell whether the check closes in order or by a reset."""
    try:
        hold(connection, received)
    except ConnectionResetError:
        received += b" [reset]"
        raise
    received += b" [closed]"


def end(connection: socket.socket, _received: bytearray) -> None:
    """Send no more, but receive."""
    connection.shutdown(socket.SHUT_WR)


def _other_end(connection: socket.socket) -> tuple[int, str] | None:
    """How many bytes it has not taken from the kernel, and its inode; over IPv4 on loopback.

    None where it is not seen: a table that changes while it is read may lack what stands in it.
    """
    ends = [connection.getpeername(), connection.getsockname()]
    wanted = [
        f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}" for host, port in ends
    ]
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == wanted:
            return int(fields[4].partition(":")[2], 16), fields[9]
    return None


def _has_closed(connection: socket.socket) -> bool:
    """Whether the other end has sent its FIN, or a reset."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED


def _has_delivered(connection: socket.socket) -> bool:
    """Whether the other end has acknowledged all: a busy kernel delivers later than it sends."""
    waiting = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(waiting, sys.byteorder) == 0


def has_judged(connection: socket.socket) -> bool:
    """Whether the check has taken what was sent, and waits for more, or has closed.

    Its process is seen asleep twice: of two threads that wait for each other one runs.
    """
    if _has_closed(connection):
        return True
    if not _has_delivered(connection):
        return False
    found = _other_end(connection)
    if found is None or found[0]:
        return False
    owner = _owner_of(found[1])
    return owner is not None and sleeps(owner) and sleeps(owner)


def _owner_of(inode: str) -> int | None:
    """The process that has a socket; None where it is none any more, or not yet."""
    others = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    for pid in itertools.chain(CHECKERS.copy(), others):
        with suppress(OSError):
            if f"socket:[{inode}]" in links_of(pid).values():
                if pid not in CHECKERS:
                    CHECKERS.insert(0, pid)
                return pid
    return None


def pause(connection: socket.socket, _received: bytearray) -> None:
    """Let the check take what was sent before, so that the rest comes by itself."""
    wait_for(lambda: has_judged(connection), PATIENCE_SECONDS, "the check reads", step=0.02)


def reset(connection: socket.socket, _received: bytearray) -> None:
    """Close by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Case(NamedTuple):
    """`lines` of the backend; `acts` of its server, None: it refuses. PORT is its port."""

    lines: tuple[str, ...]
    acts: tuple[Act, ...] | None
    server: str = CHECK
    port: bool = True  # the server's line has it behind the address
    heard: bool = True  # False: nothing is sent, so the server does not even accept


class Told(NamedTuple):
    """What a program sent in the first check and said of it."""

    sent: bytes
    line: str
    status: str
    code: str
    description: str
    last: str


def _handler(case: Case, sent: list[bytes | None]) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        received = bytearray()
        place = len(sent)  # a check may have several connections, the last of which may end first
        sent.append(None)
        with suppress(OSError):
            for act in case.acts or ():
                act(connection, received)
        # a port that is its own is what differs between two programs, and the time of day
        data = re.sub(rb"(PROXY TCP4 \S+ \S+) \d+ \d+", rb"\1", bytes(received))
        sent[place] = re.sub(rb"(?s)....(?=HAPROXYSSLCHK)", b"time", data, count=1)

    return handle


def _backend(name: str, case: Case, port: int) -> str:
    lines = [  # the file is a format of one_program
        line.replace("PORT", str(port)).replace("{", "{{").replace("}", "}}") for line in case.lines
    ]
    address = f"127.0.0.1:{port}" if case.port else "127.0.0.1"
    server = case.server.replace("PORT", str(port))
    return "\n  ".join((f"backend {name}", *_limits(case), *lines, f"server s {address} {server}"))


def _limits(case: Case) -> tuple[str, ...]:
    """Checks of a server that never answers end by this: one that has `inter` in milliseconds."""
    found = re.search(r"\binter (\d+) ", case.server)
    return (f"timeout check {found[1]}",) if found else ()


@contextmanager
def _servers(
    cases: dict[str, Case], sent: dict[str, list[bytes | None]]
) -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        ports = {}
        for name, case in cases.items():
            if case.acts is None:
                ports[name] = free_port()
            else:
                sent[name] = []
                server = stack.enter_context(Server(_handler(case, sent[name])))
                ports[name] = server.port
        yield ports


def tell(
    program: str,
    folder: Path,
    cases: dict[str, Case],
    defaults: str = "",
    ports: dict[str, int] | None = None,
) -> dict[str, Told]:
    """What the program makes of each case; `ports`: of servers that run already."""
    sent: dict[str, list[bytes | None]] = {}
    with ExitStack() as stack:
        if ports is None:
            ports = stack.enter_context(_servers(cases, sent))
        backends = "\n".join(_backend(name, case, ports[name]) for name, case in cases.items())
        text = CONFIGURATION.format(port=free_port(), backends=backends, defaults=defaults)
        with one_program(PROGRAMS[program](), folder / program, text, {}) as running:
            return _read(running, cases, sent)


def _read(
    running: OneProgram, cases: dict[str, Case], sent: dict[str, list[bytes | None]]
) -> dict[str, Told]:
    rows: dict[str, dict[str, str]] = {}

    def complete() -> bool:
        running.read()
        shown = running.ask("show stat -1 4 -1").lstrip("# ").strip()
        for row in csv.DictReader(io.StringIO(shown)):
            if (
                row["check_status"]
                and row["check_status"] != "INI"
                and row["check_status"][0] != "*"
            ):
                rows.setdefault(row["pxname"], row)
        lined = {name for name in cases if _line(running, name)}
        heard = {
            name
            for name, each in sent.items()
            if (each and each[0] is not None) or not cases[name].heard
        }
        missing[:] = sorted(
            cases.keys() - (lined & rows.keys() & (heard | cases.keys() - sent.keys()))
        )
        return not missing

    missing: list[str] = []
    deadline = time.monotonic() + 40 + PATIENCE_SECONDS
    while not complete():
        assert time.monotonic() < deadline, f"no check of {missing}"
        time.sleep(0.02)
    return {
        name: Told(
            next(iter(sent.get(name, ())), None) or b"" if cases[name].heard else b"",
            _line(running, name),
            rows[name]["check_status"],
            rows[name]["check_code"],
            rows[name]["check_desc"],
            ERRNO.sub("", rows[name]["last_chk"]),
        )
        for name in cases
    }


def _line(running: OneProgram, name: str) -> str:
    """The first line about the server's checks, without what no two runs share."""
    for level, text in running.lines:
        if f"server {name}/s " in text:
            said = text.split(": ", 1)[1].strip()
            return f"{level} " + re.sub(r"duration: \d+ms", "duration", ERRNO.sub("", said))
    return ""
