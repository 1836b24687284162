"""A segment with servers, and worker processes forked on it, without a supervisor.

The test plays supervisor, resolverd and control: it writes their records and rings their bells.
Log lines of the children arrive on a pipe.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
import uvloop

from proxy.config.model.settings import (
    Balancing,
    Bind,
    Check,
    Endpoint,
    Global,
    Origin,
    Proxy,
    Server,
    Settings,
    SocketFamily,
    Timeouts,
)
from proxy.health.checker import Checker
from proxy.members.static import static_state
from proxy.runtime import Bells, ListeningSocket, Runtime, now_ms
from proxy.server_table import ServerTable
from resolverd.config import ResolverdSettings
from shm.locks import HEALTH_WRITER, take_role
from shm.processes import ProcessBoard
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    AdminFlag,
    AdminState,
    Cause,
    HealthState,
    Operational,
    ProcessCommand,
)
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for

QUICK = Check(inter_ms=100, fastinter_ms=40, downinter_ms=60, rise=2, fall=3)
TIMEOUTS = Timeouts(connect_ms=2_000, client_ms=600_000, server_ms=600_000)


class Spec(msgspec.Struct, frozen=True):
    """One server of the test's backend."""

    host: str | None
    port: int
    check: Check | None = QUICK
    backup: bool = False
    resolution: int | None = None


class SharedLog:
    """A log that writes `level text` lines to a file which the test reads; no writer ever waits."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("log", os.MFD_CLOEXEC)
        self._read = 0  # bytes
        self._rest = b""
        self.lines: list[str] = []

    def __call__(self, level: int, text: str) -> None:
        os.write(self.descriptor, f"{level} {text}\x00".encode())  # forks share the offset

    def read(self) -> list[str]:
        """Every line so far."""
        while chunk := os.pread(self.descriptor, 65536, self._read):
            self._read += len(chunk)
            self._rest += chunk
        *whole, self._rest = self._rest.split(b"\x00")
        self.lines += [line.decode() for line in whole]
        return self.lines


def settings_of(
    specs: list[Spec],
    *,
    listen_port: int = 0,
    timeouts: Timeouts = TIMEOUTS,
    kind: str = "listen",
) -> Settings:
    """One `listen be` section with servers s1, s2, ..."""
    servers = tuple(
        Server(
            slot=slot,
            backend_index=0,
            id=slot + 1,
            name=f"s{slot + 1}",
            host=spec.host or "name.test",
            address=spec.host,
            port=spec.port,
            origin=Origin(),
            check=spec.check,
            balancing=Balancing(backup=spec.backup),
            resolution_index=spec.resolution,
        )
        for slot, spec in enumerate(specs)
    )
    endpoint = Endpoint(SocketFamily.IPV4, "127.0.0.1", listen_port)
    bind = Bind(index=0, frontend_index=0, endpoint=endpoint, origin=Origin())
    proxy = Proxy(
        name="be",
        id=2,
        kind=kind,
        origin=Origin(),
        frontend_index=0,
        backend_index=0,
        binds=(bind,),
        servers=servers,
        default_backend=0,
        timeouts=timeouts,
    )
    return Settings(globals=Global(), proxies=(proxy,), resolverd=ResolverdSettings())


class Site:
    """One generation: segment, bells, listening sockets, and the workers forked so far."""

    def __init__(self, settings: Settings, workers: int, listen: bool = False) -> None:
        servers = ServerTable(settings)
        shape = Shape(len(servers), 1, 1, workers, workers, 0, 0, rules=len(settings.rules))
        self.segment = Segment.create(shape)
        self.log = SharedLog()
        self.slots = SlotTableWriter(self.segment)
        self.admins = AdminTableWriter(self.segment)
        self.reader = SlotTableReader(self.segment)
        self.board = ProcessBoard(self.segment)
        self.slots.lay_backend(0, 0, len(servers))
        for server in servers:
            self.slots.place(server.slot, static_state(server))
            self.slots.publish(
                server.slot, server.address, server.port, cause=Cause.CONFIGURED, now_ms=now_ms()
            )
        self.runtime = Runtime(
            settings=settings,
            servers=servers,
            segment=self.segment,
            bells=Bells.create(workers),
            listeners=listening_sockets(settings, workers) if listen else (),
            stats_sockets=(),
            service_sockets=(),
            workers=workers,
            main_pid=os.getpid(),
            log=self.log,
        )
        self.pids: dict[int, int] = {}

    def health(self, slot: int) -> HealthState:
        """The health record of a slot."""
        return self.reader.health(slot)

    def move(self, slot: int, host: str | None, port: int) -> None:
        """What resolverd does when an answer changes a server."""
        self.slots.publish(slot, host, port, cause=Cause.DNS, now_ms=now_ms())
        self.runtime.bells.ring_table()

    def administer(self, slot: int, flags: AdminFlag) -> None:
        """What control does for `set server ... state`."""
        self.admins.publish(slot, AdminState(flags, -1, None, 0, 0, now_ms()))
        self.runtime.bells.ring_table()

    def fork(self, worker: int, body: Callable[[Runtime, int], None]) -> int:
        """Fork one worker process that runs `body`; its pid."""
        pid = os.fork()
        if pid == 0:
            try:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                self._close_strangers()
                body(self.runtime, worker)
            except BaseException:
                self.log(2, traceback.format_exc())
            os._exit(70)
        self.board.started(worker, pid, now_ms(), 0)
        self.pids[worker] = pid
        return pid

    def _close_strangers(self) -> None:
        """Close what the child must not hold open: a test's listener would never refuse."""
        kept = {0, 1, 2, self.segment.fd, self.log.descriptor, *self.runtime.bells.all()}
        kept |= {listener.socket.fileno() for listener in self.runtime.listeners}
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
            if int(name) not in kept:
                with suppress(OSError):
                    os.close(int(name))

    def command(self, worker: int, command: ProcessCommand) -> None:
        """What the supervisor does to end a worker."""
        self.board.command(worker, command)
        for bell in (self.runtime.bells.relays[worker], self.runtime.bells.workers[worker]):
            os.eventfd_write(bell, 1)

    def kill(self, worker: int, number: int = signal.SIGKILL) -> int:
        """Send a signal and reap; the wait status."""
        pid = self.pids[worker]
        os.kill(pid, number)
        return self.reap(worker)

    def reap(self, worker: int, seconds: float = 10) -> int:
        """Wait for a worker's end; the wait status. Kills it when it does not come."""
        pid = self.pids.pop(worker)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.board.ended(worker)
                return status
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError(f"worker {worker} did not end; log {self.log.read()}")

    def close(self) -> None:
        """End every worker and give back every descriptor."""
        for worker in list(self.pids):
            self.kill(worker)
        for listener in self.runtime.listeners:
            listener.socket.close()
        for descriptor in (*self.runtime.bells.all(), self.log.descriptor):
            os.close(descriptor)
        self.segment.close()


@contextmanager
def site(settings: Settings, workers: int = 1, listen: bool = False) -> Iterator[Site]:
    """A `Site` that is taken down at the end."""
    made = Site(settings, workers, listen)
    try:
        yield made
    finally:
        made.close()


def listening_sockets(settings: Settings, workers: int) -> tuple[ListeningSocket, ...]:
    """One listening socket for each bind and worker, on the bind's port or one that is free."""
    found: list[ListeningSocket] = []
    for bind in settings.binds:
        port = bind.endpoint.port
        for worker in range(workers):
            listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((bind.endpoint.host, port))
            listening.listen(1024)
            port = listening.getsockname()[1]
            found.append(ListeningSocket(len(found), bind, worker, listening))
    return tuple(found)


def run_checker(runtime: Runtime, worker: int) -> None:
    """A process that only checks: the worker's main thread without a relay."""
    take_role(runtime.segment.fd, HEALTH_WRITER + worker)
    loop = uvloop.new_event_loop()
    checker = Checker(runtime, worker, loop)

    def rung() -> None:
        os.eventfd_read(runtime.bells.workers[worker])
        checker.look()

    def failed(loop: object, context: dict[str, object]) -> None:
        runtime.log(2, repr(context))
        os._exit(71)

    loop.set_exception_handler(failed)
    loop.add_reader(runtime.bells.workers[worker], rung)
    checker.start()
    loop.run_forever()


def checking(made: Site) -> Site:
    """Fork a checker for each worker."""
    for worker in range(made.runtime.workers):
        made.fork(worker, run_checker)
    return made


def wait_operational(made: Site, slot: int, wanted: Operational, seconds: float = 10) -> None:
    """Wait until checks have brought a server to a state."""
    wait_for(
        lambda: made.health(slot).operational == wanted and made.health(slot).checked_ms,
        seconds,
        f"slot {slot} {wanted!r}; {made.log.read()}",
    )


class Backend:
    """A TCP server on one loopback address that a test opens, closes and fills up."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port or free_port()
        self._socket: socket.socket | None = None
        self._fillers: list[socket.socket] = []

    def open(self, backlog: int = 128) -> Backend:
        """Accept connections (the kernel does).

        A process that was forked just now may still have the former listener, until it closes it.
        """
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_for(self._is_bound, PATIENCE_SECONDS, f"{self.host}:{self.port} is free")
        self._socket.listen(backlog)
        return self

    def _is_bound(self) -> bool:
        assert self._socket is not None
        try:
            self._socket.bind((self.host, self.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def fill(self) -> Backend:
        """Listen, but answer no SYN: the accept queue is full."""
        self.open(backlog=0)
        self._fillers = []
        ready = selectors.DefaultSelector()
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self._fillers.append(filler)
        ready.register(self._fillers[0], selectors.EVENT_WRITE)
        assert ready.select(PATIENCE_SECONDS)
        ready.close()
        return self

    def has_client(self) -> bool:
        """Whether a connection waits to be accepted."""
        assert self._socket is not None
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """Refuse from now on."""
        for one in (*self._fillers, *([self._socket] if self._socket else [])):
            one.close()
        self._fillers, self._socket = [], None
