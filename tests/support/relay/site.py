"""Relays under test: real relay processes on a real segment, in front of servers that a test gives.

`RelayUnderTest` starts a host process (host.py) that makes the segment, the bells and
the listening sockets and forks one relay process for each worker; it is supervisor and resolverd at
once. With an `environment` that carries LD_PRELOAD the host is a fresh interpreter,
otherwise a fork of one (tests/support/forking). Everything dies with the test process.

A note for fault injection: `recv` may be cut short only where the kernel does it, that is when the
event carried PRI, RDHUP, HUP or ERR; `send` and `splice` may be short at any time.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from proxy.config.model.settings import (
    Balancing,
    Bind,
    Check,
    Connecting,
    Endpoint,
    Global,
    InitState,
    Origin,
    Proxy,
    ProxyHeader,
    Queueing,
    Server,
    Settings,
    SocketFamily,
    Stopping,
    Timeouts,
)
from proxy.relay.state.termination import Termination
from resolverd.config import ResolverdSettings
from shm.processes import ProcessStatus
from shm.states import ServerState
from tests.support.common import PATIENCE_SECONDS, stand_still, wait_for
from tests.support.forking.process import Process, start

ROOT = Path(__file__).parents[3]
TIMEOUTS = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=60_000)
LENGTH = struct.Struct("<I")


class RelayServer(NamedTuple):
    """Where a server of the backend is; `address` None: a slot without an address yet."""

    address: str | None
    port: int
    weight: int = 1
    backup: bool = False
    port_relative: bool = False
    checked: bool = False
    shutdown_down: bool = False  # on-marked-down shutdown-sessions
    shutdown_backups: bool = False  # on-marked-up shutdown-backup-sessions
    removed_drain_ms: int | None = None  # on-removed: None keep, 0 shutdown
    maxconn: int = 0
    minconn: int = 0
    maxqueue: int = 0
    slowstart_ms: int = 0
    proxy_header: ProxyHeader = ProxyHeader.NONE


class Plan(msgspec.Struct):
    """What the host is to build."""

    settings: Settings
    servers: tuple[RelayServer, ...]
    workers: int
    shared: bool
    nofile: int | None
    sweep_ms: int | None


def send_message(channel: socket.socket, message: object) -> None:
    payload = pickle.dumps(message)
    channel.sendall(LENGTH.pack(len(payload)) + payload)


def receive_message(channel: socket.socket) -> Any:
    """The next message; EOFError when the other end is gone."""
    return pickle.loads(receive_exactly(channel, *LENGTH.unpack(receive_exactly(channel, 4))))


def receive_exactly(channel: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = channel.recv(count - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)


def one_listen(
    servers: tuple[RelayServer, ...], binds: tuple[Endpoint, ...], fields: dict[str, Any]
) -> Settings:
    """Settings of one `listen` section."""
    global_maxconn = fields.pop("global_maxconn", 0)
    bind_maxconn = fields.pop("bind_maxconn", 0)
    global_rate = fields.pop("global_rate", 0)
    accept_proxy = fields.pop("accept_proxy", False)
    lists = fields.pop("lists", ())
    variables = fields.pop("variables", ())
    variable_bytes = fields.pop("variable_bytes", (0, 0, 0, 0, 0))
    tables = fields.pop("tables", ())
    fields.setdefault("timeouts", TIMEOUTS)
    proxy = Proxy(
        name="edge",
        id=2,
        kind="listen",
        origin=Origin(),
        frontend_index=0,
        backend_index=0,
        default_backend=fields.pop("default_backend", 0),
        binds=tuple(
            Bind(
                index=index,
                frontend_index=0,
                endpoint=endpoint,
                origin=Origin(),
                maxconn=bind_maxconn,
                accept_proxy=accept_proxy,
            )
            for index, endpoint in enumerate(binds)
        ),
        servers=tuple(
            Server(
                slot=slot,
                backend_index=0,
                id=slot + 1,
                name=f"s{slot}",
                host=server.address or "name.test",
                port=server.port,
                origin=Origin(),
                address=server.address,
                port_relative=server.port_relative,
                connecting=Connecting(server.proxy_header),
                queueing=Queueing(server.maxconn, server.minconn, server.maxqueue),
                balancing=Balancing(server.weight, server.slowstart_ms, server.backup),
                stopping=Stopping(
                    server.shutdown_down, server.shutdown_backups, server.removed_drain_ms
                ),
                check=Check() if server.checked else None,
                init_state=InitState.DOWN if server.checked else InitState.UP,
            )
            for slot, server in enumerate(servers)
        ),
        **fields,
    )
    process = Global(
        maxconn=global_maxconn, connection_rate=global_rate, variable_bytes=variable_bytes
    )
    return Settings(
        process, (proxy,), ResolverdSettings(), lists=lists, variables=variables, tables=tables
    )


class RelayUnderTest:
    """One or more relay processes with one `listen` section; a context manager.

    `servers` are (address, port) pairs or `RelayServer`s; further keywords are fields of `Proxy`
    (timeouts, retries, redispatch, balance, maxconn, splice ...), `global_maxconn`, `global_rate`,
    `bind_maxconn`, `accept_proxy`, `lists`, `tables` and `variables` (what `rules` name), `variable_bytes`. `binds`
    defaults to one port of 127.0.0.1; `shared` makes one socket for all workers instead of one each.
    `sweep_ms` is the time between two looks for free places that no bell tells of.
    """

    def __init__(
        self,
        servers: list[tuple[str, int]] | list[RelayServer],
        *,
        workers: int = 1,
        binds: tuple[Endpoint, ...] = (Endpoint(SocketFamily.IPV4, "127.0.0.1"),),
        shared: bool = False,
        nofile: int | None = None,
        sweep_ms: int | None = None,
        environment: dict[str, str] | None = None,
        passed: tuple[int, ...] = (),
        **fields: Any,
    ) -> None:
        placed = tuple(RelayServer(*server) for server in servers)
        self.settings = one_listen(placed, binds, fields)
        self.plan = Plan(self.settings, placed, workers, shared, nofile, sweep_ms)
        self.workers = workers
        self.environment = environment or {}
        self.passed = passed  # descriptors that the settings name
        self.addresses: list[Any] = []
        self.host: Process | None = None

    def __enter__(self) -> RelayUnderTest:
        near, far = socket.socketpair()
        self.channel = near
        self.host = start(
            [sys.executable, "-m", "tests.support.relay.host", str(far.fileno())],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            pass_fds=[far.fileno(), *self.passed],
        )
        far.close()
        near.settimeout(PATIENCE_SECONDS)
        send_message(near, self.plan)
        self.addresses = receive_message(near)
        wait_for(self.ready, 20, "the relays start", step=0.002)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.host is not None
        self.channel.close()
        self.host.wait(PATIENCE_SECONDS)

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Let the host do something; its exception is raised here."""
        send_message(self.channel, (name, arguments, keywords))
        failed, value = receive_message(self.channel)
        if failed:
            raise value
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Where the (first) listener listens."""
        first: tuple[str, int] = self.addresses[0]
        return first

    def connect(self, seconds: float = PATIENCE_SECONDS, bind: int = 0) -> socket.socket:
        """A client's connection with a time-out."""
        address = self.addresses[bind]
        if isinstance(address, tuple):
            return socket.create_connection(address[:2], seconds)
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(seconds)
        client.connect(address)
        return client

    def ready(self) -> bool:
        """Whether every relay runs."""
        return all(self.status(worker).state == 2 for worker in range(self.workers))

    def status(self, worker: int = 0) -> ProcessStatus:
        """The process record of a relay."""
        status: ProcessStatus = self.call("status", worker)
        return status

    def publish(self, slot: int, address: str | None, port: int = 0, *, weight: int = -1) -> None:
        """Move a server, as resolverd does, and ring the relays."""
        self.call("publish", slot, address, port, weight=weight)

    def administer(self, slot: int, *, flags: int = 0, weight: int = -1, maxconn: int = -1) -> None:
        """Set a server's administrative state, as control does, and ring the relays."""
        self.call("administer", slot, flags=flags, weight=weight, maxconn=maxconn)

    def override(self, slot: int, address: str, port: int) -> None:
        """Give a server another address, as the operator does by `set server addr`."""
        self.call("override", slot, address, port)

    def judge(self, slot: int, *, up: bool) -> None:
        """Say that checks found a server up or down, as its worker does, and ring the relays."""
        self.call("judge", slot, up)

    def server_state(self, slot: int = 0) -> ServerState:
        """What the records of a slot add up to."""
        state: ServerState = self.call("server_state", slot)
        return state

    def counters(
        self, of: str = "worker", index: int = 0, row: int | None = None
    ) -> dict[str, Any]:
        """Counters of the 'worker's, a 'frontend', a 'backend' or a 'server'; all rows or one."""
        found: dict[str, Any] = self.call("counters", of, index, row)
        return found

    def terminations(self) -> dict[str, int]:
        """Ended sessions by their two-letter code, without zeros."""
        counts = self.counters()["terminations"]
        return {state.code: counts[state] for state in Termination if counts[state]}

    def wait_terminations(self, expected: dict[str, int], seconds: float = 10) -> None:
        """Wait until exactly these sessions have ended, and no other."""
        wait_for(
            lambda: self.terminations() == expected,
            seconds,
            f"sessions ended as {expected}, now {self.terminations()}",
        )

    def requests(self) -> list[tuple[int, int, int, int]]:
        """What resolverd would see: (slot, timeouts, refusals, began_ms) since the last call."""
        found: list[tuple[int, int, int, int]] = self.call("requests")
        return found

    def tracked(self) -> list[int]:
        """How many sessions hold each entry of all stick tables."""
        found: list[int] = self.call("tracked")
        return found

    def hints(self) -> list[int]:
        """Sessions of each slot as leastconn sees them."""
        found: list[int] = self.call("hints")
        return found

    def assign(self, position: int, worker: int) -> None:
        """Let a worker serve a listening socket, as the supervisor does."""
        self.call("assign", position, worker)

    def command(self, command: int, worker: int | None = None) -> None:
        """Give one or all relays a `ProcessCommand`, and ring them."""
        self.call("command", command, worker)

    def signal(self, number: int, worker: int) -> None:
        """Send a signal to a relay process; one that is stopped stands still then."""
        if number == signal.SIGSTOP:
            stand_still(self.pid(worker))
        else:
            os.kill(self.pid(worker), number)

    def pid(self, worker: int = 0) -> int:
        """The process of a relay; 0 when it has ended."""
        found: int = self.call("pid", worker)
        return found

    def restart(self, worker: int) -> None:
        """Fork a relay again after it ended, as the supervisor does."""
        self.call("restart", worker)
        wait_for(self.ready, 20, "the relay starts again", step=0.002)

    def exit_status(self, worker: int = 0) -> int | None:
        """How a relay ended (negative: a signal); None while it runs."""
        found: int | None = self.call("exit_status", worker)
        return found
