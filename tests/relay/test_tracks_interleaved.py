"""Sessions that follow one entry at several workers: each stopped or killed anywhere, or all at once.

What they have counted is the sum of the sessions, and nobody is at the entry at the end. A worker
that is killed has counted each of its figures once or not at all, in the order of the session.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shm.tables.entries import TableReader
from shm.tables.memory import StickTable
from shm.tables.shape import KeyType, Stored, TableData, TableShape
from tests.support.compiled import compiled
from tests.support.generated import sample
from tests.support.tables.steps import Steps, memories, table_steps
from tests.support.trace import SteppedChild, stop_at_each

SOURCE = Path(__file__).parent / "tracks.pyx"
STOP_STRIDE = sample(67, full=1)  # of the instructions at which the first worker is stopped
KILL_STRIDE = sample(23, full=1)  # likewise, killed
INSTRUCTIONS_MAX = 20_000
NOW_MS = 60_000
PERIOD_MS = 10_000
WORKERS = 4
ROUNDS = 20_000
IN, OUT = 1_000, 70  # bytes of a session: those of tracks.pyx
STORED = (
    *(Stored(TableData.CONN_CNT), Stored(TableData.CONN_RATE, period_ms=PERIOD_MS)),
    *(Stored(TableData.CONN_CUR), Stored(TableData.SESS_CNT), Stored(TableData.BYTES_IN_CNT)),
    *(Stored(TableData.BYTES_IN_RATE, period_ms=PERIOD_MS), Stored(TableData.BYTES_OUT_CNT)),
)


class Counted(NamedTuple):
    """What entries say together, in the order in which a session counts."""

    conn_cnt: int
    conn_rate: int
    sess_cnt: int
    bytes_in_cnt: int
    bytes_in_rate: int
    bytes_out_cnt: int


@pytest.fixture(scope="module")
def tracks() -> Any:
    """tracks.pyx compiled against the product's own functions."""
    flags = ["-O2", "-g0"]
    if os.environ.get("MILLRACE_SANITIZE") == "thread":
        flags += ["-g", "-fsanitize=thread", "-Wno-tsan"]
    return compiled(SOURCE, *flags)


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


def table_of(entries: int, **more: int) -> StickTable:
    table = StickTable(TableShape("t", KeyType.INTEGER, 4, entries, stored=STORED, **more))
    table.lengthen(WORKERS + 1)
    return table


def counted(table: StickTable, *, sessions: int = 0) -> dict[bytes, Counted]:
    """By key, over all entries that it has; nobody but so many sessions is at each."""
    found: dict[bytes, Counted] = {}
    for entry in TableReader(table).page(0, table.cells, NOW_MS):
        assert entry.sessions == sessions
        values = {stored.data: value[0] for stored, value in zip(STORED, entry.values, strict=True)}
        said = Counted(*(values[TableData(name)] for name in Counted._fields))
        former = found.get(entry.key, Counted(*[0] * len(said)))
        found[entry.key] = Counted(*map(sum, zip(said, former, strict=True)))
    return found


def of_sessions(count: int) -> Counted:
    return Counted(count, count, count, count * IN, count * IN, count * OUT)


def stopped(
    table: StickTable, follower: Any, key: bytes, stride: int
) -> Iterator[tuple[SteppedChild, int]]:
    """A child serves a session of this key; it is stopped after so many instructions.

    The table is put back before each.
    """
    said = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def serve() -> None:
        said[0] = 0
        follower.serve(key, said)

    for child, count in stop_at_each(memories(table), serve, stride, INSTRUCTIONS_MAX):
        if said[0]:
            return
        yield child, count


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_one_that_is_stopped_and_others_lose_nothing(
    tracks: Any, steps: Steps, there: bool
) -> None:
    """`there`: the entry is, with a running period; else it is made by one of both."""
    table = table_of(1, expire_ms=100_000)
    first, other = (tracks.Follower(table, writer, NOW_MS) for writer in (1, 2))
    if there:
        assert tracks.Follower(table, 3, NOW_MS - PERIOD_MS - 5).serve(b"same")
    before = counted(table).get(b"same", of_sessions(0))
    looks = 0
    for child, count in stopped(table, first, b"same", STOP_STRIDE):
        assert other.serve(b"same"), f"after {count} instructions"
        child.finish()
        said = counted(table)[b"same"]
        wanted = [each + more for each, more in zip(before, of_sessions(2), strict=True)]
        wanted[1], wanted[4] = said.conn_rate, said.bytes_in_rate  # the former period fades
        assert list(said) == wanted, f"after {count} instructions"
        assert 2 <= said.conn_rate <= 3, f"after {count} instructions"
        assert 2 * IN <= said.bytes_in_rate <= 3 * IN, f"after {count} instructions"
        assert steps.unfinished(table) == [], f"after {count} instructions"
        looks += 1
    assert looks > 600 // STOP_STRIDE


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_one_that_is_killed_has_counted_each_figure_once_or_not(
    tracks: Any, steps: Steps, there: bool
) -> None:
    table = table_of(1, expire_ms=100_000)
    first, other = (tracks.Follower(table, writer, NOW_MS) for writer in (1, 2))
    if there:
        assert other.serve(b"same")
    before = int(there)
    seen = set()
    for child, count in stopped(table, first, b"same", KILL_STRIDE):
        child.kill()
        assert other.begin(b"same"), "a sibling, before the supervisor knows"
        table.settle(1)
        note = f"after {count} instructions"
        assert steps.unfinished(table) == [], note
        held = [each for each in TableReader(table).page(0, table.cells, NOW_MS) if each.sessions]
        assert [each.sessions for each in held] == [1], note
        table.settle(2)
        said = counted(table)[b"same"]
        own = [
            (value - before * one - more, one)
            for value, one, more in zip(said, of_sessions(1), (1, 1, 0, 0, 0, 0), strict=True)
        ]
        assert all(value in (0, one) for value, one in own), note
        done = [value == one for value, one in own]
        assert done == sorted(done, reverse=True), f"{note}: in the order of a session"
        seen.add(sum(done))
    assert seen == set(range(len(Counted._fields) + 1)), "killed between any two"


@pytest.mark.slow
@pytest.mark.parametrize("keys", [1, 3, 200])
def test_threads_that_follow_lose_nothing(tracks: Any, seed: int, keys: int) -> None:
    table = table_of(1_000)
    states = [memoryview(bytearray(8 * (1 + keys))).cast("Q") for _ in range(WORKERS)]
    faults: list[int] = []

    def work(number: int) -> None:
        states[number][0] = seed + number
        follower = tracks.Follower(table, number + 1, NOW_MS)
        faults.append(follower.hammer(ROUNDS, keys, states[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [0] * WORKERS
    assert counted(table) == {
        key.to_bytes(4, "little"): of_sessions(count)
        for key in range(keys)
        if (count := sum(state[1 + key] for state in states))
    }
