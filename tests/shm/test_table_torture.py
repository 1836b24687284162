"""Several processes at one stick table, killed anywhere: what may never be seen, and what is left.

Forbidden: an entry that changes its key while a session holds it, a count that is lost without a
death, a cell that stays unusable after one, sessions of the dead.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from shm.tables.entries import TableReader
from shm.tables.memory import StickTable
from shm.tables.shape import TableData
from tests.support.generated import sample
from tests.support.tables.steps import Steps, memories, small_table, table_steps
from tests.support.trace import die_at_each_store, pause

WRITERS = 4
KILLS = sample(60, full=3_000)
ROUNDS = 20_000
GPT0, GPC0 = TableData.GPT0.number, TableData.GPC0.number
WORDS = 2 + 512  # of a writer: random state, rounds, sessions by key


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


def counted(table: StickTable) -> dict[int, int]:
    """The sum of the counts of each key, and none has sessions."""
    found: dict[int, int] = {}
    for entry in TableReader(table).page(0, table.cells, 1):
        assert entry.sessions == 0
        key = int.from_bytes(entry.key, "little")
        found[key] = found.get(key, 0) + entry.values[1][0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("keys", [1, 3, 200])
def test_threads_lose_no_count_and_change_no_key(steps: Steps, seed: int, keys: int) -> None:
    table = small_table(1_000, WRITERS + 1)
    states = [memoryview(bytearray(8 * WORDS)).cast("Q") for _ in range(WRITERS)]
    faults: list[int] = []

    def work(number: int) -> None:
        states[number][0] = seed + number
        faults.append(steps.hammer(table, number + 1, ROUNDS, states[number], keys, GPT0, GPC0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [0] * WRITERS
    assert counted(table) == {
        key: sum(state[2 + key] for state in states)
        for key in range(keys)
        if any(state[2 + key] for state in states)
    }
    assert steps.unfinished(table) == []


class Hammers:
    """A process for each writer, which counts sessions until it is killed."""

    def __init__(self, steps: Steps, table: StickTable, keys: int, seed: int) -> None:
        self.steps, self.table, self.keys, self.seed = steps, table, keys, seed
        self.shared = mmap.mmap(-1, 8 * (WORDS + 1) * WRITERS)
        self.words = memoryview(self.shared).cast("Q")
        self.pids = [self.start(writer) for writer in range(WRITERS)]

    def state(self, writer: int) -> memoryview:
        return self.words[writer * (WORDS + 1) : (writer + 1) * (WORDS + 1)]

    def start(self, writer: int) -> int:
        self.seed += 1
        pid = os.fork()
        if pid == 0:
            try:
                state = self.state(writer)
                state[0] = self.seed
                while True:
                    state[WORDS] += self.steps.hammer(
                        self.table, writer + 1, 100, state[:WORDS], self.keys, GPT0, GPC0
                    )
            finally:
                os._exit(70)
        return pid

    def kill(self, writer: int) -> None:
        os.kill(self.pids[writer], signal.SIGKILL)
        os.waitpid(self.pids[writer], 0)
        self.table.settle(writer + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("entries", "keys"), [(1_000, 2), (1, 400)])
def test_processes_killed_at_random_moments_leave_a_table_that_works(
    steps: Steps, seed: int, entries: int, keys: int
) -> None:
    """The second table is so small that entries are taken away all the time."""
    chance = random.Random(seed)
    table = small_table(entries, WRITERS + 1)
    hammers = Hammers(steps, table, keys, seed)
    kills = 0
    try:
        for _ in range(KILLS):
            victim = chance.randrange(WRITERS)
            before = hammers.state(victim)[1]
            deadline = time.monotonic() + chance.random() * 0.01  # the random moment
            while time.monotonic() < deadline or hammers.state(victim)[1] == before:
                pass
            hammers.kill(victim)
            kills += 1
            hammers.pids[victim] = hammers.start(victim)
    finally:
        for writer in range(WRITERS):
            hammers.kill(writer)
            kills += 1
    states = [hammers.state(writer) for writer in range(WRITERS)]
    assert [state[WORDS] for state in states] == [0] * WRITERS, f"seed {seed}"
    assert steps.unfinished(table) == []
    found = counted(table)
    if keys < 10:
        said = {key: sum(state[2 + key] for state in states) for key in range(keys)}
        assert 0 <= sum(said.values()) - sum(found.values()) <= kills, f"seed {seed}"
    else:
        assert table.evicted > 100
    for number in range(keys):
        cell = steps.take(table, 0, number.to_bytes(4, "little"), 1)
        assert cell is not None, "every cell can be used again"
        steps.give(table, 0, cell, 1)


def deaths_in_sessions(steps: Steps, table: StickTable) -> Iterator[tuple[int, bytes]]:
    """Kill a writer after each store into the table while it serves one session of a key.

    Yields the number of the store and what the child was about to do, after each death.
    """
    work = (b"here", b"new!", b"late")
    for key in work:

        def serve(key: bytes = key) -> None:
            pause()
            cell = steps.take(table, 1, key, 60_000)
            assert cell is not None
            steps.add(table, cell, GPC0, 1)
            steps.give(table, 1, cell, 60_000)

        for store in die_at_each_store(memories(table), serve):
            yield store, key


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
def test_a_death_at_each_store_leaves_nothing_held_and_nothing_half_done(
    steps: Steps, full: bool
) -> None:
    """`here` is an entry, `late` one past its time, `new!` is none; in a full table one must go."""
    table = small_table(1, 3, expire_ms=50_000)
    keys = [b"here", *(number.to_bytes(4, "little") for number in range(32 if full else 3))]
    for at, key in enumerate(keys):
        cell = steps.take(table, 2, key, 20_000 + at)
        if cell is not None:
            steps.give(table, 2, cell, 20_000 + at)
    late = steps.take(table, 2, b"late", 1_000)
    if late is not None:
        steps.give(table, 2, late, 1_000)
    deaths: dict[bytes, int] = {}
    for store, key in deaths_in_sessions(steps, table):
        deaths[key] = deaths.get(key, 0) + 1
        note = f"{key!r} after store {store}"
        reader = TableReader(table)
        for entry in reader.page(0, table.cells, 60_000):
            assert entry.values[1][0] in (0, 1), note
        other = steps.take(table, 2, key, 60_000)  # a sibling, before the supervisor knows
        assert other is not None, note
        table.settle(1)
        assert steps.unfinished(table) == [], note
        found = reader.find(key, 60_000)
        assert found is not None
        assert found.sessions == 1, note
        steps.give(table, 2, other, 60_000)
        held = [entry for entry in reader.page(0, table.cells, 60_000) if entry.sessions]
        assert held == [], note
    assert deaths[b"here"] >= 3
    assert deaths[b"new!"] >= 8
    assert deaths[b"late"] >= 9
