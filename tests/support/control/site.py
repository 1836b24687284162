"""A control process with real sockets over a real segment, and HAProxy with the same servers.

`World` owns the segment and plays the supervisor, the workers and resolverd: it writes slot and
health records and counter rows through the writers that those use. Control itself is forked.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proxy.config.model.settings import (
    Endpoint,
    Global,
    Origin,
    Proxy,
    Server,
    Settings,
    SocketFamily,
    StatsSocket,
)
from proxy.control import process
from proxy.members.static import static_state
from proxy.runtime import Bells, Runtime, now_ms
from proxy.server_table import ServerTable
from resolverd.config import ResolverdSettings
from shm.counters import CounterReader, NameserverTable
from shm.processes import ProcessBoard
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import AdminFlag, AdminState, Cause, ProcessState, SlotFlag
from tests.support.common import PATIENCE_SECONDS, require_program, wait_for
from tests.support.control.sections import TABLE
from tests.support.rows import CarriedRow

if TYPE_CHECKING:
    from shm.counters import WorkerFields

PR_SET_PDEATHSIG = 1  # prctl(2)
LEVELS = ("admin", "operator", "user")
ADMIN_NOTHING = AdminState(0, -1, None, 0, 0, 0)


def index_proxies(proxies: list[Proxy]) -> tuple[Proxy, ...]:
    """Number frontends, backends and slots as the configuration does."""
    numbered: list[Proxy] = []
    frontends = backends = slots = 0
    for draft in proxies:
        proxy = draft
        if draft.kind in ("frontend", "listen"):
            proxy = msgspec.structs.replace(proxy, frontend_index=frontends)
            frontends += 1
        if draft.kind == "listen" and draft.servers:
            proxy = msgspec.structs.replace(proxy, default_backend=backends)
        if draft.kind in ("backend", "listen"):
            servers = []
            for number, server in enumerate(proxy.servers, 1):
                servers.append(
                    msgspec.structs.replace(
                        server, slot=slots, backend_index=backends, id=server.id or number
                    )
                )
                slots += 1
            proxy = msgspec.structs.replace(proxy, backend_index=backends, servers=tuple(servers))
            backends += 1
        numbered.append(proxy)
    return tuple(numbered)


def a_server(name: str, host: str, port: int, **more: object) -> Server:
    """A server as the configuration makes it; a host of digits is its address."""
    numeric = ":" in host or host.replace(".", "").isdecimal()
    name_of = "srv_record" if host.startswith("_") else "fqdn"
    known = {"address": host} if numeric else {name_of: host, "resolution_index": 0}
    fields = {"slot": 0, "backend_index": 0, "id": 0, "origin": Origin(), **known, **more}
    return msgspec.convert({"name": name, "host": host, "port": port}, ServerDraft).make(fields)


class ServerDraft(msgspec.Struct):
    """The three words that every server line has."""

    name: str
    host: str
    port: int

    def make(self, fields: dict[str, object]) -> Server:
        return Server(name=self.name, host=self.host, port=self.port, **fields)


class World:
    """One generation around a control process."""

    def __init__(
        self,
        proxies: list[Proxy],
        *,
        resolverd: ResolverdSettings | None = None,
        workers: int = 2,
        globals_: Global | None = None,
        spare_slots: int = 0,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-control-"))
        self.log_path = self.folder / "log"
        numbered = index_proxies(proxies)
        lines = tuple(
            StatsSocket(Endpoint(SocketFamily.UNIX, str(self.folder / level)), Origin(), level)
            for level in LEVELS
        )
        base = globals_ or Global(maxconn=1000)
        self.settings = Settings(
            msgspec.structs.replace(base, stats_sockets=lines),
            numbered,
            resolverd or ResolverdSettings(),
            lists=TABLE.every,
        )
        nameservers = sum(len(section.nameservers) for section in self.settings.resolverd.sections)
        self.segment = Segment.create(
            Shape(
                slots=len(ServerTable(self.settings)) + spare_slots,
                backends=len(self.settings.backends),
                frontends=len(self.settings.frontends),
                workers=workers,
                sockets=0,
                nameservers=nameservers,
                resolutions=len(self.settings.resolverd.resolutions),
                sections=len(self.settings.resolverd.sections),
                agents=sum(server.agent is not None for server in ServerTable(self.settings)),
                rules=len(self.settings.rules),
            )
        )
        self.slots = SlotTableWriter(self.segment)
        self.table = SlotTableReader(self.segment)
        self.health = HealthTableWriter(self.segment)
        self.carried = CarriedRow(self.segment)
        self.nameservers = NameserverTable(self.segment)
        self.board = ProcessBoard(self.segment)
        self.lay()
        self.stats_sockets = tuple(self.listen_unix(level) for level in LEVELS)
        self.services = {
            proxy.name: self.listen_tcp() for proxy in self.settings.frontends if proxy.http
        }
        self.runtime = Runtime(
            settings=self.settings,
            servers=ServerTable(self.settings),
            segment=self.segment,
            bells=Bells.create(workers),
            listeners=(),
            stats_sockets=self.stats_sockets,
            service_sockets=tuple(
                (proxy.frontend_index or 0, self.services[proxy.name])
                for proxy in self.settings.frontends
                if proxy.http
            ),
            workers=workers,
            main_pid=os.getpid(),
            log=self.log,
        )
        self.pid = 0

    def lay(self) -> None:
        """Fill the segment as the supervisor does before the first fork."""
        admin = AdminTableWriter(self.segment)
        agents = 0
        for proxy in self.settings.backends:
            assert proxy.backend_index is not None
            if proxy.servers:
                self.slots.lay_backend(
                    proxy.backend_index, proxy.servers[0].slot, len(proxy.servers)
                )
            for server in proxy.servers:
                agent = -1 if server.agent is None else agents
                agents += server.agent is not None
                self.slots.place(server.slot, static_state(server)._replace(agent=agent))
                self.slots.publish(
                    server.slot,
                    server.address,
                    server.port,
                    cause=Cause.CONFIGURED if server.address else Cause.NOTHING,
                    flags=0 if server.address else SlotFlag.RMAINT,
                    now_ms=now_ms(),
                )
                if server.disabled:
                    admin.publish(server.slot, ADMIN_NOTHING._replace(flags=int(AdminFlag.CMAINT)))

    def listen_unix(self, name: str) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.folder / name))
        listening.listen(64)
        return listening

    def listen_tcp(self) -> socket.socket:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        return listening

    def log(self, level: int, text: str) -> None:
        with self.log_path.open("a") as file:
            file.write(f"{level} {text}\n")

    def logged(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self) -> None:
        """Fork control and wait until it says that it serves."""
        self.pid = self.fork()
        wait_for(self.ready, 10, "control is ready")

    def fork(self) -> int:
        """Fork one control process, which dies with the test."""
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            process.run(self.runtime, ())
        return pid

    def ready(self) -> bool:
        position = self.segment.shape.control_process
        return self.board.status(position).state == ProcessState.READY

    def kill(self, number: int = signal.SIGTERM) -> int:
        """End control; how it ended, as waitpid says."""
        os.kill(self.pid, number)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return status

    def close(self) -> None:
        if self.pid:
            self.kill(signal.SIGKILL)
        for listening in (*self.stats_sockets, *self.services.values()):
            listening.close()
        for bell in self.runtime.bells.all():
            os.close(bell)
        self.segment.close()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()

    def connect(self, level: str = "admin") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(self.folder / level))
        return client

    def worker_counters(self) -> WorkerFields:
        """The counters of all workers now."""
        return CounterReader(self.segment).worker()

    def server_counters(self, slot: int) -> dict[str, int]:
        """The counters of a server now."""
        return CounterReader(self.segment).server(slot)

    def ask(self, command: str, level: str = "admin") -> str:
        """One command, the whole answer."""
        return ask(self.folder / level, command)


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def ask(path: Path, command: str) -> str:
    """One line to a stats socket; the whole answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(path))
        client.sendall(command.encode() + b"\n")
        return read_all(client).decode()


@contextmanager
def control_world(proxies: list[Proxy], **more: object) -> Iterator[World]:
    """A started control process, ended and cleaned up afterwards."""
    world = World(proxies, **more)
    try:
        world.start()
        yield world
    finally:
        world.close()


@contextmanager
def haproxy(configuration: str, folder: Path) -> Iterator[Path]:
    """Debian's HAProxy with this configuration; yields the path of its stats socket."""
    program = require_program("haproxy")
    path, text = folder / "haproxy.sock", folder / "haproxy.cfg"
    text.write_text(f"global\n  stats socket {path} level admin\n  maxconn 1000\n{configuration}")
    with (folder / "haproxy.log").open("wb") as log:
        child = subprocess.Popen(
            [program, "-f", str(text), "-db"], stdout=subprocess.DEVNULL, stderr=log
        )

    def answers() -> bool:
        with suppress(OSError):
            return bool(ask(path, "show info"))
        return False

    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers():
            assert child.poll() is None, (folder / "haproxy.log").read_text()
            assert time.monotonic() < deadline, "HAProxy did not start"
            time.sleep(0.02)
        yield path
    finally:
        child.kill()
        child.wait()
