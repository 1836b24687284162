"""What every child inherits by fork: settings and servers, segment, bells, listening sockets, log.

Made once per generation by the supervisor, before the first child; immutable afterwards. A bell
is an eventfd with one reader: a process that publishes something writes to the bells of those that
should look. Losing a ring is harmless, because every reader also looks on its own tick.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from proxy.config.model.settings import Bind, Endpoint, Settings, SocketFamily
from proxy.config.outline.kept import KeptConfiguration
from proxy.lists.changing.area import ListArea
from proxy.lists.changing.kinds import Lists
from proxy.server_table import ServerTable
from resolverd.config import LinkedFile, StateFile
from shm.check_orders import CheckOrders
from shm.events import EventRing
from shm.log_level import LogLevel
from shm.segment import Segment
from shm.tables.memory import StickTable

if TYPE_CHECKING:
    from ssl import SSLContext
else:
    SSLContext = Any  # most configurations have no use for ssl


class Log(Protocol):
    """Operational messages; satisfied by `proxy.log.LogWriter`."""

    def __call__(self, level: LogLevel, text: str) -> None:
        """Send one line to every configured target; never raises, never blocks."""


class Bells(msgspec.Struct, frozen=True):
    """The eventfds of one generation, by reader."""

    relays: tuple[int, ...]  # by worker: registered edge-triggered in its epoll, never read
    workers: tuple[int, ...]  # by worker: its main thread
    resolverd: int
    control: int
    runner: int | None = None  # None: no check is a program

    @classmethod
    def create(cls, workers: int, runners: int = 0) -> Bells:
        """Make them all; raises OSError when descriptors run out."""
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        opened = [-1] * (2 * workers + 2 + runners)
        try:
            for place in range(len(opened)):
                opened[place] = os.eventfd(0, flags)
        except BaseException:
            for descriptor in opened:
                if descriptor >= 0:
                    os.close(descriptor)
            raise
        return cls(
            relays=tuple(opened[:workers]),
            workers=tuple(opened[workers : 2 * workers]),
            resolverd=opened[2 * workers],
            control=opened[2 * workers + 1],
            runner=opened[2 * workers + 2] if runners else None,
        )

    @property
    def checkers(self) -> tuple[int, ...]:
        """Of all processes that check servers."""
        return self.workers if self.runner is None else (*self.workers, self.runner)

    def checker(self, slot: int, *, is_program: bool) -> int:
        """Of the process that checks a server; `is_program`: its check is one."""
        if is_program:
            assert self.runner is not None, f"slot {slot} has no runner"
            return self.runner
        return self.workers[slot % len(self.workers)]

    def all(self) -> tuple[int, ...]:
        """Every descriptor, for closing."""
        return (*self.relays, *self.checkers, self.resolverd, self.control)

    def close(self) -> None:
        """Close every descriptor."""
        for bell in self.all():
            os.close(bell)

    def ring_table(self) -> None:
        """A slot record changed: relays, main threads of all workers and the runner look."""
        ring((*self.relays, *self.checkers))


def ring(bells: Iterable[int]) -> None:
    """Wake the readers; a bell that is full already wakes its reader anyway."""
    for bell in bells:
        with suppress(BlockingIOError):
            os.eventfd_write(bell, 1)


class ListeningSocket(msgspec.Struct, frozen=True):
    """One listening socket: bind line times worker. `index` is its row in the owners' area."""

    index: int
    bind: Bind
    worker: int  # whose socket it is while that worker lives; siblings adopt it otherwise
    socket: socket.socket
    backlog: int = 1_024  # to listen again with
    shared: bool = False  # one socket for all workers (fd@, unix): each registers EPOLLEXCLUSIVE


class Outside(msgspec.Struct, frozen=True):
    """Descriptors of what a runner takes from outside of any chroot."""

    processes: int  # /proc
    nothing: int  # /dev/null: the standard input of programs


class Runtime(msgspec.Struct, frozen=True):
    """One generation's inheritance."""

    settings: Settings
    servers: ServerTable
    segment: Segment
    bells: Bells
    listeners: tuple[ListeningSocket, ...]
    stats_sockets: tuple[socket.socket, ...]  # in the order of Global.stats_sockets
    service_sockets: tuple[tuple[int, socket.socket], ...]  # (frontend index, listening socket)
    workers: int
    main_pid: int  # what log lines and `show info` carry
    log: Log
    state_files: tuple[StateFile, ...] = ()  # those that resolverd keeps up to date
    log_sockets: dict[Endpoint, int] = {}  # of the access log, by where they lead
    resolv_conf: LinkedFile | None = None  # the one that resolverd follows
    tls_contexts: tuple[SSLContext, ...] = ()  # by row of `Settings.tls_contexts`
    outside: Outside | None = None  # None without a runner
    tables: tuple[StickTable, ...] = ()  # by number, as `Settings.tables`
    lists: ListArea | None = None  # None: they cannot change
    begun_ms: int = 0  # when the program began
    environment: tuple[bytes, ...] = ()  # NAME=value, behind the last line of the files
    kept: KeptConfiguration = KeptConfiguration()  # the lines that settings were made of
    master_calls: socket.socket | None = None  # from the master CLI, where there is one
    startup_logs: tuple[str, ...] = ()  # what was told of the files, as on a terminal
    check_orders: CheckOrders = msgspec.field(default_factory=CheckOrders)  # of operators
    events: EventRing = msgspec.field(default_factory=EventRing)  # of all generations
    given: int | None = None  # the eventfd by which control says that `exposed` were given away

    @property
    def has_resolverd(self) -> bool:
        """Whether names or state files give a resolverd something to do, or servers to come may."""
        named = self.settings.resolverd
        if named.sections and any(backend.spare_slots for backend in self.servers.backends):
            return True
        return bool(named.resolutions or named.addressed or self.state_files)

    @property
    def processes(self) -> dict[int, str]:
        """The names of those that there are to be, by their positions on the board."""
        shape = self.segment.shape
        absent = () if self.has_resolverd else (shape.resolverd_process,)
        names = enumerate(shape.process_names)
        return {position: name for position, name in names if position not in absent}

    @property
    def exposed(self) -> tuple[ListeningSocket, ...]:
        """What another program gets that asks for the sockets (`-x`): one of each address."""
        formers = (None, *self.listeners)
        return tuple(
            listener
            for listener, former in zip(self.listeners, formers, strict=False)
            if (former is None or listener.bind is not former.bind) and _is_given(listener.bind)
        )

    @property
    def every_list(self) -> Lists:
        """What conditions and maps look up in."""
        return self.settings.lists if self.lists is None else self.lists


def _is_given(bind: Bind) -> bool:
    """Whether a successor may have a use for the socket of an address.

    For a path it has none: whichever program binds it next has all clients from then on. Nor has
    HAProxy for one IPv6 address, whose sockets the kernel makes `v6only` unasked: it takes them for
    others than those of a line without that word, and opens its own in the group.
    """
    endpoint = bind.endpoint
    if endpoint.family is SocketFamily.IPV6 and endpoint.host != "::":
        return bind.v6only
    return endpoint.family is not SocketFamily.UNIX


def now_ms() -> int:
    """CLOCK_MONOTONIC in milliseconds: the clock of every record in the segment."""
    return time.monotonic_ns() // 1_000_000
