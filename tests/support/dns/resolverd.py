"""resolverd as a real process over a real segment, started and killed by a test.

The child is a plain fork, as under the supervisor. Its log lines come back through a memfd; what it
publishes is read from the segment. Every child is killed and reaped at the end, and no other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import TracebackType

from resolverd.config import (
    Family,
    LinkedFile,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.daemon import now_ms, run
from shm.counters import CounterReader
from shm.names import NameReader, NameserverNameWriter
from shm.processes import ProcessBoard, ProcessStatus
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import Cause, ProcessState, SlotFlag, SlotState, StaticFlag, StaticState
from tests.support.common import wait_for

WORKERS = 2
IPV4_ONLY = (Family.IPV4,)


def settings_of(
    section: ResolversSection,
    *resolutions: ResolutionSettings,
    families: tuple[Family, ...] = IPV4_ONLY,
) -> ResolverdSettings:
    """The settings of a resolverd with one section."""
    return ResolverdSettings((section,), resolutions, families)


def make_segment(settings: ResolverdSettings) -> Segment:
    """A segment as the supervisor lays it out: every server without an address."""
    servers = [server for each in settings.resolutions for server in each.servers]
    segment = Segment.create(
        Shape(
            slots=1 + max((server.slot for server in servers), default=-1),
            backends=1 + max((server.backend_index for server in servers), default=0),
            frontends=1,
            workers=WORKERS,
            sockets=WORKERS,
            nameservers=settings.nameserver_rows,
            resolutions=len(settings.resolutions),
            sections=len(settings.sections),
        )
    )
    names = NameserverNameWriter(segment)
    for section in settings.sections:
        for nameserver in section.nameservers:
            names.publish(nameserver.index, nameserver.name, now_ms())
    writer = SlotTableWriter(segment)
    for backend in range(segment.shape.backends):
        slots = [server.slot for server in servers if server.backend_index == backend]
        writer.lay_backend(backend, min(slots, default=0), len(slots))
    for server in servers:
        static = StaticState(server.backend_index, StaticFlag.RESOLVED, 1, 0, 2, 3, 1)
        writer.place(server.slot, static)
        place_address(segment, server, None, Cause.NOTHING)
    return segment


def place_address(
    segment: Segment, server: ResolvedServer, address: str | None, cause: Cause
) -> None:
    """Publish an address as the supervisor does before the first fork (init-addr)."""
    flags = SlotFlag.RMAINT if address is None else SlotFlag(0)
    SlotTableWriter(segment).publish(
        server.slot, address, server.port, cause=cause, flags=flags, now_ms=now_ms()
    )


class ResolverdProcess:
    """One resolverd over one segment; `start` again after `kill` for a successor."""

    def __init__(
        self,
        settings: ResolverdSettings,
        segment: Segment | None = None,
        resolv_conf: LinkedFile | None = None,
    ) -> None:
        self.settings = settings
        self.resolv_conf = resolv_conf
        self.segment = segment or make_segment(settings)
        self.doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # rung when a slot changed
        self.pid = 0
        self._log = os.memfd_create("log", os.MFD_CLOEXEC)  # one offset for all its heirs

    def __enter__(self) -> ResolverdProcess:
        """Start it and wait until it is ready."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs and close everything."""
        if self.pid:
            self.kill()
        for descriptor in (self.doorbell, self.bell, self._log):
            os.close(descriptor)
        self.segment.close()

    def start(self) -> None:
        """Fork a resolverd; returns once it says that it is ready."""
        board, position = ProcessBoard(self.segment), self.segment.shape.resolverd_process
        board.ended(position)
        self.pid = os.fork()
        if self.pid == 0:
            self._be_resolverd()
        board.started(position, self.pid, now_ms(), 0)
        wait_for(lambda: self.status.state == ProcessState.READY, 10, "resolverd ready")

    def _be_resolverd(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            run(
                self.settings,
                self.segment,
                self.doorbell,
                self._ring,
                self._write_log,
                resolv_conf=self.resolv_conf,
            )
        except BaseException as error:
            self._write_log(0, f"resolverd ended: {error!r} from {error.__cause__!r}")
        finally:
            os._exit(70)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the process by a signal; its wait status."""
        os.kill(self.pid, number)
        return self.reap()

    def reap(self) -> int:
        """Wait for the end of the process; its wait status."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return status

    @property
    def status(self) -> ProcessStatus:
        """What the process says of itself."""
        return ProcessBoard(self.segment).status(self.segment.shape.resolverd_process)

    def slot(self, slot: int) -> SlotState:
        """A slot record."""
        return SlotTableReader(self.segment).slot(slot)

    def target(self, slot: int) -> str:
        """The name that the slot points to other than by the configuration."""
        return NameReader(self.segment).target(slot).name

    def pairs(self) -> list[tuple[str, int, str | None, int]]:
        """Target, port, address and weight of the slots that stand for SRV records, sorted."""
        found = []
        for number in range(self.segment.shape.slots):
            slot = self.slot(number)
            if self.target(number):
                found.append((self.target(number), slot.port, slot.address, slot.weight))
        return sorted(found, key=lambda pair: pair[:2])

    def wait_pairs(self, *expected: tuple[str, int, str | None, int], seconds: float = 10) -> None:
        """Wait until the slots stand for these records."""
        wanted = sorted(expected, key=lambda pair: pair[:2])
        self.wait(lambda: self.pairs() == wanted, f"{wanted}", seconds)

    def addresses(self) -> list[str | None]:
        """The address of each slot, in order."""
        return [self.slot(slot).address for slot in range(self.segment.shape.slots)]

    def counters(self, nameserver: int = 0) -> dict[str, int]:
        """The counters of a nameserver."""
        return CounterReader(self.segment).nameserver(nameserver)

    def record(self, resolution: int = 0) -> dict[str, int]:
        """A resolution record."""
        return CounterReader(self.segment).resolution(resolution)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 10.0) -> float:
        """Wait for something in the segment; the time that it took, in seconds."""
        started = time.monotonic()
        wait_for(lambda: bool(condition()), seconds, what, step=0.005)
        return time.monotonic() - started

    def wait_addresses(self, *expected: str | None, seconds: float = 10.0) -> float:
        """Wait until the slots hold these addresses, in any order."""
        wanted = sorted(str(address) for address in expected)
        return self.wait(
            lambda: sorted(str(address) for address in self.addresses()) == wanted,
            f"slots {wanted}",
            seconds,
        )

    def log_lines(self) -> list[str]:
        """All log lines so far, each `<level> text`."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, size, 0).decode().splitlines()

    def _ring(self) -> None:
        os.eventfd_write(self.bell, 1)

    def _write_log(self, level: int, text: str) -> None:
        os.write(self._log, f"<{level}> {text}\n".encode())
