"""`show pools`: what the program holds in memory (management manual 9.3).

A pool is what is made in many pieces: sessions, what stalled ones hold back, pipes, stick tables,
and the segments of all generations. Behind the pools come the processes as the kernel sees them,
where a leak would show: memory of a process's own grows there and in no pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.commands.process.census import Census
from proxy.control.rows.report import Report
from proxy.kernel.processes import MemoryUse, hiding_reason, memory
from proxy.relay.engine import SESSION_BYTES
from proxy.runtime import now_ms
from shm.tables.entries import TableReader
from shm.tables.memory import StickTable

PIPE_BYTES = 262_144  # what a pipe of a relay takes in (proxy/relay/state/pipes.pxd)
UNKNOWN = "'show pools' expects byname, bysize, byusage, match <prefix> or a number."


class MemoryPool(NamedTuple):
    """Pieces of one kind: how many there are, how many are in use, and what they take."""

    name: str
    size: int  # bytes of a piece; 0: they differ
    allocated: int
    allocated_bytes: int
    used: int
    used_bytes: int
    failures: int  # pieces that found no memory, or no room
    users: int  # processes that have them

    @property
    def line(self) -> str:
        """As HAProxy tells it."""
        size = f"{self.size} bytes" if self.size else "any size"
        return (
            f"  - Pool {self.name} ({size}) : {self.allocated} allocated "
            f"({self.allocated_bytes} bytes), {self.used} used ({self.used_bytes} bytes), "
            f"{self.failures} failures, {self.users} users\n"
        )


ORDERS: dict[str, Callable[[MemoryPool], tuple[int, str]]] = {
    "byname": lambda pool: (0, pool.name),
    "bysize": lambda pool: (-pool.size, pool.name),
    "byusage": lambda pool: (-pool.used_bytes, pool.name),
}


class PoolSelection:
    """What the words of the command ask for; raises CommandError for others."""

    def __init__(self, words: list[str]) -> None:
        self.order = ORDERS["byname"]
        self.prefix = ""
        self.most: int | None = None
        words = list(words)
        while words:
            word = words.pop(0)
            if word in ORDERS:
                self.order = ORDERS[word]
            elif word == "match" and words:
                self.prefix = words.pop(0)
            elif word.isascii() and word.isdecimal():
                self.most = int(word)
            elif word != "detailed":  # HAProxy's; there is no more detail here
                raise CommandError(UNKNOWN)

    def of(self, pools: list[MemoryPool]) -> list[MemoryPool]:
        """These of them, in this order."""
        chosen = [pool for pool in pools if pool.name.startswith(self.prefix)]
        return sorted(chosen, key=self.order)[: self.most]


class ShowPools:
    """One command."""

    def __init__(self, report: Report, census: Census) -> None:
        self._report = report
        self._census = census

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "memory of sessions, tables and processes"
        usage = "[by*] [match <pfx>] [<nb>]"
        return [Command(("show", "pools"), usage, text, Level.USER, self.show)]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show pools [byname|bysize|byusage] [match <prefix>] [<number>]`."""
        return self._lines(PoolSelection(words))

    def _lines(self, wanted: PoolSelection) -> Iterator[str]:
        every = [*self._of_workers(), *self._segments()]
        for table in self._report.runtime.tables:
            used = 0
            for entries in TableReader(table).used(now_ms()):
                used += entries
                yield ""
            every.append(of_table(table, used))
        pools = wanted.of(every)
        yield "Dumping pools usage.\n"
        for pool in pools:
            yield pool.line
        allocated, used = sum(p.allocated_bytes for p in pools), sum(p.used_bytes for p in pools)
        yield f"Total: {len(pools)} pools, {allocated} bytes allocated, {used} used.\n"
        yield from self._processes()

    def _of_workers(self) -> Iterator[MemoryPool]:
        """Of the workers of this generation."""
        workers, counters = self._report.runtime.workers, self._report.monitor.counters
        rows = [counters.worker(worker) for worker in range(workers)]
        sessions = sum(row["sessions"] for row in rows)
        taken = sessions * SESSION_BYTES
        yield MemoryPool("session", SESSION_BYTES, sessions, taken, sessions, taken, 0, workers)
        stalled = sum(row["buffer_bytes"] for row in rows)
        pauses = sum(row["accept_pauses"] for row in rows)
        holders = sum(row["buffer_bytes"] > 0 for row in rows)
        yield MemoryPool("stalled", 1, stalled, stalled, stalled, stalled, pauses, holders)
        used = sum(row["pipes_used"] for row in rows)
        made = used + sum(row["pipes_free"] for row in rows)
        yield MemoryPool(
            "pipe", PIPE_BYTES, made, made * PIPE_BYTES, used, used * PIPE_BYTES, 0, workers
        )

    def _segments(self) -> Iterator[MemoryPool]:
        """What all processes of a generation share."""
        current = self._report.runtime.segment
        old = [each.segment for each in self._report.old.living()]
        processes = len(self._report.runtime.processes) + 1
        for segment in (current, *old):
            name, size = f"segment_{segment.reload_generation}", segment.size
            yield MemoryPool(name, size, 1, size, 1, size, 0, processes)

    def _processes(self) -> Iterator[str]:
        """One line for each process."""
        whole = MemoryUse()
        for process in self._census.processes():
            try:
                found = memory(process.pid)
            except OSError as error:
                yield f"  - {process.named}: {hiding_reason(error, process.pid)}\n"
                continue
            whole = MemoryUse(*map(sum, zip(whole, found, strict=True)))
            yield f"  - {process.named}: {_told(found)}\n"
        own = whole.private + whole.swapped
        yield f"Total: {own} bytes of their own; what they share counts in each that has it.\n"


def of_table(table: StickTable, used: int) -> MemoryPool:
    """A stick table with so many entries; one that found no room is a failure."""
    shape, taken = table.shape, table.memory_bytes
    return MemoryPool(
        name=f"table_{shape.name}",
        size=0,
        allocated=shape.entries,
        allocated_bytes=taken,
        used=used,
        used_bytes=taken,
        failures=table.refused,
        users=table.writers,
    )


def _told(found: MemoryUse) -> str:
    return (
        f"{found.private} bytes of its own, {found.shared} shared, {found.files} of files, "
        f"{found.swapped} swapped out"
    )
