"""Log lines of a test: a syslog server on loopback, and a TCP log line as its fields."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.lines.log import TCP_FORMAT
from proxy.config.lines.rules.log_format import parse_log_format
from proxy.config.model.settings import AccessLog, Endpoint, LogTarget, SocketFamily
from tests.support.common import PATIENCE_SECONDS

LOCAL0 = 16
# HAProxy's line for a TCP connection, and what the test's format adds at its end.
LINE = re.compile(
    r"<(\d+)>.{15} haproxy\[\d+\]: (\S+):\d+ \[\d\d/\w{3}/\d{4}:[\d:.]{12}\] (\S+) (\S+) "
    r"(-?\d+)/(-?\d+)/(\+?)\d+ (\+?\d+) (\S\S) (\S+) (\S+)(.*)\n"
)
FORMAT = f"{TCP_FORMAT} %tsc %{{+Q}}s %{{+Q}}b"


class Line(NamedTuple):
    """What two programs must agree on: all but ports, pids, dates and how long something took."""

    priority: str
    client: str
    frontend: str
    server: str
    queued: bool  # a server was assigned
    connected: bool
    plus: str  # of the total
    bytes_read: str
    state: str
    counts: str  # actconn/feconn/beconn/srv_conn/retries
    queues: str
    rest: str

    @classmethod
    def of(cls, datagram: bytes) -> Line:
        """The fields of one line; AssertionError for any other text."""
        found = LINE.fullmatch(datagram.decode())
        assert found is not None, datagram
        values = list(found.groups())
        return cls(*values[:4], values[4] != "-1", values[5] != "-1", *values[6:])  # type: ignore[call-arg]


def udp_target(log: socket.socket, **fields: object) -> LogTarget:
    """A `log` line toward a socket of the test."""
    host, port = log.getsockname()[:2]
    family = SocketFamily.IPV6 if log.family is socket.AF_INET6 else SocketFamily.IPV4
    target = LogTarget(Endpoint(family, host, port), LOCAL0)
    return LogTarget(**{**{name: getattr(target, name) for name in target.__struct_fields__},
                        **fields})  # fmt: skip


def access_log(*targets: LogTarget, text: str = FORMAT, **fields: bool) -> AccessLog:
    """How a frontend of the test logs."""
    return AccessLog(targets, "haproxy", parse_log_format(text), **fields)


@contextlib.contextmanager
def syslog(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A UDP socket that waits for lines."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as log:
        log.bind((host, port))
        log.settimeout(PATIENCE_SECONDS)
        yield log


def arrived(log: socket.socket) -> list[Line]:
    """Lines about connections that came already."""
    found: list[Line] = []
    log.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            datagram = log.recv(70_000)
            if LINE.fullmatch(datagram.decode()):
                found.append(Line.of(datagram))
    return found


def lines_of(log: socket.socket, count: int) -> list[Line]:
    """The next lines about connections; what the program says of itself is passed over."""
    found: list[Line] = []
    while len(found) < count:
        datagram = log.recv(70_000)
        if LINE.fullmatch(datagram.decode()):
            found.append(Line.of(datagram))
    return found
