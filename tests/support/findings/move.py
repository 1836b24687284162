"""A server that moves: an address where every connect times out, and log lines with their times.

`BlackHole` is a listener whose queue is full, so the kernel drops every further SYN, on loopback as
on a real network. `LogReceiver` is a syslog server over UDP. `moves` is an answer that holds once.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

import dns.message

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import Answer, build_reply, forged

FILLERS = 4  # a listener of backlog 0 takes one or two connections


class BlackHole:
    """An address and port where connects are never answered; a context manager."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port or free_port()))
        self.listener.listen(0)
        self.address = address
        self.port: int = self.listener.getsockname()[1]
        self.fillers: list[socket.socket] = []
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect((address, self.port))
            self.fillers.append(filler)
        with socket.socket() as probe, suppress(TimeoutError):
            probe.settimeout(0.2)
            probe.connect((address, self.port))
            raise AssertionError(f"{address}:{self.port} still accepts connections")

    def __enter__(self) -> BlackHole:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (*self.fillers, self.listener):
            each.close()


class LogReceiver:
    """Receives log lines over UDP; `lines` are (time.monotonic(), text), oldest first."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._receive, name="log receiver", daemon=True)

    @property
    def address(self) -> str:
        """As a `log` line takes it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _receive(self) -> None:
        while line := self._socket.recv(8192):
            self.lines.append((time.monotonic(), line.decode().rstrip()))

    def wait(self, text: str, seconds: float = 10.0) -> float:
        """When the first line with this text came."""
        return wait_for(
            lambda: [at for at, line in list(self.lines) if text in line], seconds, f"log: {text}"
        )[0]

    def __enter__(self) -> LogReceiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def moves(before: Answer, after: Answer) -> Answer:
    """The first question gets one answer, all later ones the other."""
    turns = itertools.chain([before], itertools.repeat(after))

    def forge(query: dns.message.Message) -> list[bytes]:
        return [build_reply(query, next(turns))]

    return forged(forge)
