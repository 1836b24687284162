"""The board that a simulated resolverd writes, and the axe over it: after so many writes it dies.

`Board` is plain memory, for hundreds of thousands of histories; `SegmentBoard` has the real segment
beneath, whose readers and writers are made anew with each successor. Both hand each slot record
that becomes another one to `judge`.
"""

from __future__ import annotations

from collections.abc import Callable

import resolverd.board
from resolverd.config import ResolverdSettings
from shm.histograms import RUNS
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableReader, SlotTableWriter
from shm.states import NameState, Operational, ServerState, SlotState, StaticState

RECORD = (
    "last_valid_ms", "last_run_ms", "status", "records_seen", "slots_used", "slots_missing",
    "runs", "triggers", "returns", "answered", "ipv4_valid_ms", "ipv6_valid_ms",
)  # fmt: skip


class KilledError(Exception):
    """resolverd has died in the middle of its writes."""


class Axe:
    """Counts writes; `writes_left` writes from now it kills the writer, or at write `fall_at`.

    Never while these are negative.
    """

    def __init__(self) -> None:
        self.writes = 0
        self.writes_left = -1
        self.fall_at = -1  # the number of the write that kills, once
        self.judge: Callable[[int, SlotState, SlotState], None] = lambda *_: None

    def _write(self) -> None:
        if self.writes_left == 0:
            raise KilledError
        self.writes_left -= 1
        self.writes += 1
        if self.writes == self.fall_at + 1:
            self.fall_at = -1
            raise KilledError


class Board(Axe):
    """The board in plain memory."""

    def __init__(self, ports: list[int], resolutions: int) -> None:
        super().__init__()
        self.slots = [SlotState(0, 0, 0, None, port, -1, 0x20, 0, 0) for port in ports]
        self.targets = [NameState("", 0)] * len(ports)
        self.records = [dict.fromkeys(RECORD, 0) for _ in range(resolutions)]
        self.observed: list[tuple[int, int, int, int]] = []

    def succeed(self) -> None:
        """Another process writes from now on."""
        self.writes_left = -1

    def slot(self, slot: int) -> SlotState:
        return self.slots[slot]

    def server(self, slot: int) -> ServerState:
        has = self.slots[slot].address is not None
        return ServerState(0, 0, 1, None, 0, Operational.RUNNING, has, False, not has, False)

    def usable(self, backend: int) -> tuple[int, int]:
        return sum(slot.address is not None for slot in self.slots), 0

    def sessions(self, slot: int) -> int:
        return 0

    def target(self, slot: int) -> NameState:
        return self.targets[slot]

    def resolution(self, index: int) -> dict[str, int]:
        return dict(self.records[index])

    def publish(
        self,
        slot: int,
        address: str | None,
        port: int,
        *,
        weight: int,
        cause: int,
        flags: int,
        now_ms: int,
    ) -> bool:
        self._write()
        before = self.slots[slot]
        after = SlotState(0, 0, 0, address, port, weight, flags, cause, 0)
        if before == after:
            return False
        self.slots[slot] = after
        self.judge(slot, before, after)
        return True

    def publish_target(self, slot: int, name: str, stamp_ms: int) -> None:
        self._write()
        self.targets[slot] = NameState(name, stamp_ms)

    def record(self, index: int, **fields: int) -> None:
        self._write()
        self.records[index].update(fields)

    def repeated(
        self, section: int, index: int, family: int, ended_ms: int, bucket: int, length_ms: int
    ) -> None:
        self._write()
        self.observe(section, RUNS, bucket, length_ms)
        record = self.records[index]
        record |= {
            "last_valid_ms": ended_ms,
            "last_run_ms": ended_ms,
            f"ipv{family}_valid_ms": ended_ms,
        }
        record["runs"] += 1

    def count(self, nameserver: int, counter: str, amount: int = 1) -> None:
        assert amount > 0

    def observe(self, section: int, which: int, bucket: int, milliseconds: int) -> None:
        assert milliseconds >= 0
        self.observed.append((section, which, bucket, milliseconds))


class SegmentBoard(Axe):
    """The board in a segment of its own; `close` gives it back."""

    def __init__(self, settings: ResolverdSettings) -> None:
        super().__init__()
        servers = [server for each in settings.resolutions for server in each.servers]
        backends = 1 + max(server.backend_index for server in servers)
        self._segment = Segment.create(
            Shape(
                len(servers), backends, 1, 1, 1, settings.nameserver_rows,
                len(settings.resolutions), sections=len(settings.sections),
            )
        )  # fmt: skip
        writer = SlotTableWriter(self._segment)
        for server in servers:
            writer.place(server.slot, StaticState(server.backend_index, 8, 1, 0, 2, 3, server.slot))
        for backend in range(backends):
            slots = [server.slot for server in servers if server.backend_index == backend]
            if slots:
                writer.lay_backend(backend, min(slots), len(slots))
        for server in servers:
            writer.publish(server.slot, None, server.port, flags=0x20, now_ms=1)
        self.reader = SlotTableReader(self._segment)
        self.succeed()

    def succeed(self) -> None:
        """Another process writes from now on: it finds what is in the segment, nothing else."""
        self.writes_left = -1
        self._board = board = resolverd.board.SegmentBoard(self._segment)
        board.begin()
        self.slot, self.target, self.resolution = board.slot, board.target, board.resolution
        self.server, self.usable, self.sessions = board.server, board.usable, board.sessions

    def close(self) -> None:
        self._segment.close()

    def publish(
        self,
        slot: int,
        address: str | None,
        port: int,
        *,
        weight: int,
        cause: int,
        flags: int,
        now_ms: int,
    ) -> bool:
        self._write()
        before = self.slot(slot)
        changed = self._board.publish(
            slot, address, port, weight=weight, cause=cause, flags=flags, now_ms=now_ms
        )
        after = self.slot(slot)
        assert after.address is not None or not self.server(slot).eligible
        if changed:
            moved = (after.address, after.port) != (before.address, before.port)
            assert after.generation != before.generation or not moved
            self.judge(slot, before, after)
        return changed

    def publish_target(self, slot: int, name: str, stamp_ms: int) -> None:
        self._write()
        self._board.publish_target(slot, name, stamp_ms)

    def record(self, index: int, **fields: int) -> None:
        self._write()
        self._board.record(index, **fields)

    def repeated(
        self, section: int, index: int, family: int, ended_ms: int, bucket: int, length_ms: int
    ) -> None:
        self._write()
        self._board.repeated(section, index, family, ended_ms, bucket, length_ms)

    def count(self, nameserver: int, counter: str, amount: int = 1) -> None:
        self._write()
        self._board.count(nameserver, counter, amount)

    def observe(self, section: int, which: int, bucket: int, milliseconds: int) -> None:
        self._write()
        self._board.observe(section, which, bucket, milliseconds)
