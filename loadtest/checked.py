"""Thousands of checked servers: half answer, half are silent; when each check came is noted.

Owns the servers, all on two ports of many loopback addresses: the kernel's own table of addresses
tells which server a check was for. A silent server is an address whose queue of connections is
full, so that SYNs vanish.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from loadtest.cpu import tree_private_bytes, tree_run_seconds
from loadtest.instance import Instance
from loadtest.programs import CHECKED_INTER_MS, Setup
from loadtest.site import Site
from loadtest.traffic import Sample

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BACKLOG = 4_096
REQUEST_MAX = 4_096
LOOK_SECONDS = 0.2  # whether the block is over
WARM_SECONDS = 6.0  # until the silent ones are known to be down, and all are in their rhythm
MEASURED_SECONDS_MIN = 10
FILLERS = 4  # connections that fill the shortest queue


class LivingServers:
    """Answers the checks of all living servers in one thread, and notes when each came."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self.came: dict[str, list[float]] = {}  # by address: seconds of the monotonic clock
        self.over = threading.Event()

    def serve(self) -> None:
        """Answer until the block is over."""
        while not self.over.is_set():
            for key, _ in self._selector.select(LOOK_SECONDS):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listener:
                    self._accept()
                else:
                    self._answer(connection)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                address = connection.getsockname()[0]
                self.came.setdefault(address, []).append(time.monotonic())
                self._selector.register(connection, selectors.EVENT_READ)

    def _answer(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        with connection, contextlib.suppress(OSError):
            if connection.recv(REQUEST_MAX):
                connection.send(ANSWER)


@contextmanager
def checked_servers(site: Site) -> Iterator[LivingServers]:
    """Serve while the block lasts."""
    with (
        socket.create_server(("", site.living_port), backlog=BACKLOG) as living,
        socket.create_server(("", site.silent_port), backlog=0) as silent,
        contextlib.ExitStack() as fillers,
    ):
        living.setblocking(False)
        for _ in range(FILLERS):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", silent.getsockname()[1]))
        servers = LivingServers(living)
        thread = threading.Thread(target=servers.serve, daemon=True)
        thread.start()
        try:
            yield servers
        finally:
            servers.over.set()
            thread.join()


def watch_checks(instance: Instance, setup: Setup, servers: LivingServers, seconds: int) -> Sample:
    """CPU time of a check, how late checks come, and memory.

    How late: by how much longer than `inter` the time between two checks of a server is.
    """
    instance.settle(WARM_SECONDS)
    window = max(seconds, MEASURED_SECONDS_MIN)
    begun, before = time.monotonic(), tree_run_seconds(instance.pid)
    instance.settle(window)
    used, until = tree_run_seconds(instance.pid) - before, time.monotonic()
    came = {address: list(times) for address, times in servers.came.items()}
    period = CHECKED_INTER_MS / 1_000
    gaps = [
        later - earlier
        for times in came.values()
        for earlier, later in pairwise(times)
        if earlier >= begun
    ]
    late = sorted(max(0.0, gap - period) for gap in gaps)
    counted = sum(begun <= moment < until for times in came.values() for moment in times)
    silent = setup.checked // 2 * (until - begun) / period  # one attempt each period
    return {
        "cpu_us": used / (counted + silent) * 1e6,
        "cpu_seconds": used,
        "late_p50_ms": late[len(late) // 2] * 1e3,
        "late_p99_ms": late[min(len(late) - 1, int(0.99 * len(late)))] * 1e3,
        "checks_per_s": counted / (until - begun),
        "servers_seen": len(came),
        "kib_per_server": tree_private_bytes(instance.pid) / 1024 / setup.checked,
        "units": counted,
    }


def connects() -> int:
    """Connections that were begun in this network, by whichever program (RFC 4022, ActiveOpens)."""
    lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    names, values = [line.split() for line in lines if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")])
