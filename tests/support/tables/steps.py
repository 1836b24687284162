"""The compiled functions of stick tables that tests call, with their types, and small tables."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from shm.tables.memory import StickTable
from shm.tables.shape import KeyType, Stored, TableData, TableShape
from tests.support.compiled import compiled

SOURCE = Path(__file__).parents[2] / "shm/table_steps.pyx"
COUNTED = (Stored(TableData.GPT0), Stored(TableData.GPC0), Stored(TableData.CONN_CUR))


class Steps(Protocol):
    """What table_steps.pyx has."""

    def take(
        self, owner: StickTable, writer: int, key: bytes, now_ms: int, make: bool = True
    ) -> int | None: ...
    def take_stopped(
        self, owner: StickTable, writer: int, key: bytes, now_ms: int, said: memoryview
    ) -> None: ...
    def give(self, owner: StickTable, writer: int, number: int, now_ms: int) -> None: ...
    def add(self, owner: StickTable, number: int, data: int, amount: int) -> None: ...
    def word(self, owner: StickTable, number: int, data: int) -> int: ...
    def add_rate(self, words: memoryview, period_ms: int, now_ms: int, events: int) -> None: ...
    def read_rate(self, words: memoryview, period_ms: int, now_ms: int) -> int: ...
    def sip(self, one: int, other: int, text: bytes) -> int: ...
    def buckets(self, owner: StickTable, key: bytes) -> tuple[int, int]: ...
    def unfinished(self, owner: StickTable) -> list[int]: ...
    def hammer(
        self,
        owner: StickTable,
        writer: int,
        rounds: int,
        state: memoryview,
        keys: int,
        tag_data: int,
        count_data: int,
    ) -> int: ...


def table_steps() -> Steps:
    """table_steps.pyx compiled against the product's own functions."""
    flags = ["-O2", "-g0"]
    if os.environ.get("MILLRACE_SANITIZE") == "thread":
        flags += ["-g", "-fsanitize=thread", "-Wno-tsan"]
    return cast("Steps", compiled(SOURCE, *flags))


def small_table(entries: int, writers: int, **more: int) -> StickTable:
    """A table of integers with a tag, a counter and sessions."""
    table = StickTable(TableShape("t", KeyType.INTEGER, 4, entries, stored=COUNTED, **more))
    table.lengthen(writers)
    return table


class Memory(NamedTuple):
    """A file of shared memory, as tests/support/trace.py watches it."""

    fd: int
    size: int


def memories(table: StickTable) -> list[Memory]:
    """Cells and holds of the one table that this process has."""
    gc.collect()  # those of other tests
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that the listing itself has open
            if str(link.readlink()).startswith("/memfd:stick-table"):
                found.append(Memory(int(link.name), link.stat().st_size))
    assert len(found) == 2, f"of {table.shape.name} alone: {found}"
    return found
