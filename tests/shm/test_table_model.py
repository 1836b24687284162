"""A stick table does what a dictionary with ages and holds does, whatever happens in which order."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from shm.tables.entries import Removal, TableEditor, TableReader
from shm.tables.memory import StickTable
from shm.tables.shape import TableData
from tests.support.generated import sample
from tests.support.tables.steps import Steps, small_table, table_steps

WRITERS = 4
HISTORIES = sample(25, full=2_000)
STEPS = 400
GPT0, GPC0 = TableData.GPT0.number, TableData.GPC0.number


@pytest.fixture(scope="module")
def steps() -> Steps:
    return table_steps()


class ModelEntry:
    """What the table should know of a key."""

    def __init__(self, expires_ms: int) -> None:
        self.expires_ms = expires_ms
        self.gpc0 = 0


class History:
    """One table, its model, and the sessions that hold entries."""

    def __init__(self, steps: Steps, chance: random.Random, entries: int, keys: int) -> None:
        self.steps, self.chance, self.keys = steps, chance, keys
        self.expire_ms = chance.choice((0, 50, 1_000))
        self.table = small_table(entries, WRITERS, expire_ms=self.expire_ms)
        self.model: dict[bytes, ModelEntry] = {}
        self.held: list[tuple[int, bytes, int]] = []  # writer, key, cell
        self.now_ms = 1_000

    def key(self) -> bytes:
        return self.chance.randrange(self.keys).to_bytes(4, "little")

    def holds(self, key: bytes) -> int:
        return sum(1 for _, each, _ in self.held if each == key)

    def lives(self, key: bytes) -> bool:
        entry = self.model.get(key)
        if entry is None:
            return False
        old = self.expire_ms != 0 and entry.expires_ms <= self.now_ms
        return not old or self.holds(key) > 0

    def take(self) -> None:
        writer, key = self.chance.randrange(WRITERS), self.key()
        make = self.chance.random() < 0.7
        cell = self.steps.take(self.table, writer, key, self.now_ms, make)
        lives = self.lives(key)
        if not lives:
            self.model.pop(key, None)
        if cell is None:
            assert not lives
            assert not make
            return
        assert lives or make
        entry = self.model.setdefault(key, ModelEntry(self.now_ms + self.expire_ms))
        assert self.steps.word(self.table, cell, GPC0) == entry.gpc0
        self.steps.add(self.table, cell, GPC0, 3)
        entry.gpc0 += 3
        self.held.append((writer, key, cell))

    def give(self) -> None:
        if self.held:
            writer, key, cell = self.held.pop(self.chance.randrange(len(self.held)))
            self.steps.give(self.table, writer, cell, self.now_ms)
            self.model[key].expires_ms = self.now_ms + self.expire_ms

    def remove(self) -> None:
        key = self.key()
        removed = TableEditor(self.table, 0).remove(key, self.now_ms)
        if not self.lives(key):
            assert removed is Removal.ABSENT
        elif self.holds(key):
            assert removed is Removal.IN_USE
        else:
            assert removed is Removal.REMOVED
            del self.model[key]

    def update(self) -> None:
        key, value = self.key(), self.chance.randrange(1_000)
        assert TableEditor(self.table, 0).update(key, {TableData.GPC0: (value,)}, self.now_ms)
        if not self.lives(key):
            self.model[key] = ModelEntry(0)
        self.model[key].gpc0 = value
        self.model[key].expires_ms = self.now_ms + self.expire_ms

    def die(self) -> None:
        """A writer is gone, and with it what it held."""
        writer = self.chance.randrange(1, WRITERS)
        self.table.settle(writer)
        self.held = [each for each in self.held if each[0] != writer]

    def wait(self) -> None:
        self.now_ms += self.chance.choice((1, 10, 60))

    def check(self) -> None:
        seen = {
            entry.key: (entry.values[1][0], entry.values[2][0], entry.sessions)
            for entry in TableReader(self.table).page(0, self.table.cells, self.now_ms)
        }
        assert seen == {
            key: (entry.gpc0, self.holds(key), self.holds(key))
            for key, entry in self.model.items()
            if self.lives(key)
        }
        key = self.key()
        found = TableReader(self.table).find(key, self.now_ms)
        assert (found is not None) == self.lives(key)
        if found is not None and self.expire_ms:
            assert found.left_ms == max(0, self.model[key].expires_ms - self.now_ms)


def test_a_table_with_room_is_a_dictionary_with_ages_and_holds(steps: Steps, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(HISTORIES):
        history = History(steps, chance, entries=2_000, keys=chance.choice((2, 10, 60)))
        actions = (
            *(history.take,) * 4,
            *(history.give,) * 3,
            *(history.remove, history.update, history.wait, history.die),
        )
        for step in range(STEPS):
            chance.choice(actions)()
            try:
                history.check()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, history {number}, step {step}") from error
        assert history.table.evicted == history.table.refused == 0
        assert steps.unfinished(history.table) == []


class Filled(NamedTuple):
    table: StickTable
    held: list[tuple[bytes, int]]


def filled(steps: Steps, **more: int) -> Filled:
    """A table of two buckets that is full of entries that nothing holds, the oldest first."""
    table = small_table(1, 2, **more)
    assert table.cells == 32
    number, entries = 0, []
    while len(entries) < table.cells and number < 1_000:
        key = number.to_bytes(4, "little")
        cell = steps.take(table, 1, key, 1_000 + number)
        if cell is not None:
            entries.append((key, cell))
        number += 1
    assert table.evicted == 0
    for at, (_, cell) in enumerate(entries):
        steps.give(table, 1, cell, 1_000 + at)
    return Filled(table, entries)


def test_the_earliest_expiry_makes_room_where_all_is_full(steps: Steps) -> None:
    table, entries = filled(steps, expire_ms=100_000)
    reader, editor = TableReader(table), TableEditor(table, 0)
    for number, (oldest, _) in enumerate(entries):
        new = (5_000 + number).to_bytes(4, "little")
        buckets = set(steps.buckets(table, new))
        before = {entry.key for entry in reader.page(0, table.cells, 2_000)}
        assert editor.update(new, {}, 2_000 + number)
        gone = before - {entry.key for entry in reader.page(0, table.cells, 2_000)}
        assert len(gone) == 1
        if len(buckets) == 2 and number < 3:  # else the oldest may lie elsewhere
            assert gone == {oldest} or number
    assert table.evicted == len(entries)


def test_what_is_held_is_never_taken_away(steps: Steps) -> None:
    table, entries = filled(steps, expire_ms=100)
    for key, _ in entries:
        assert steps.take(table, 1, key, 1_050) is not None
    refused = table.refused
    assert not TableEditor(table, 0).update(b"new!", {}, 9_000)
    assert table.refused == refused + 1
    assert {entry.key for entry in TableReader(table).page(0, table.cells, 9_000)} == {
        key for key, _ in entries
    }


def test_nopurge_refuses_until_something_has_expired(steps: Steps) -> None:
    table, entries = filled(steps, expire_ms=1_000, nopurge=True)
    editor = TableEditor(table, 0)
    assert not editor.update(b"new!", {}, 1_900)
    assert len(TableReader(table).page(0, table.cells, 1_900)) == len(entries)
    assert editor.update(b"new!", {}, 3_000)
    assert table.evicted == 0
