"""Meters in C against the rules of rows/rates.py, and that a look costs what happened."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from proxy.control.rows.cleared import Cleared
from proxy.control.rows.meters import Meters
from proxy.control.rows.rates import Reading, SessionMeter
from shm.counters import CounterReader
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from tests.support.rows import CarriedRow

BACKENDS, SERVERS = 4, 30  # of each backend
COUNTED = (
    "sessions_total",
    "connected",
    "ended",
    "connect_time_sum_ms",
    "queue_time_sum_ms",
    "total_time_sum_ms",
)
SECOND_MS = 1_000
PASSES = 3


class Bench:
    """A segment whose carried row is counted up, and the meters over it."""

    def __init__(self) -> None:
        self.segment = Segment.create(Shape(BACKENDS * SERVERS, BACKENDS, 1, 1, 0, 0, 0))
        writer = SlotTableWriter(self.segment)
        for backend in range(BACKENDS):
            writer.lay_backend(backend, backend * SERVERS, SERVERS)
        self.row, self.reader = CarriedRow(self.segment), CounterReader(self.segment)
        self.now_ms = 5_000
        self.cleared = Cleared(self.segment)
        self.meters = Meters(self.segment, self.cleared, self.now_ms)

    def session(self, slot: int, chance: random.Random) -> None:
        """Sessions begin, connect and end."""
        backend = slot // SERVERS
        more = {name: chance.randrange(50) for name in COUNTED}
        for fields, write, index in (
            (self.reader.server(slot), self.row.server, slot),
            (self.reader.backend(backend), self.row.backend, backend),
        ):
            write(index, {**fields, **{name: fields[name] + more[name] for name in COUNTED}})

    def look(self) -> int:
        """A second passes; how many servers were looked at."""
        before = self.meters.server_looks
        self.now_ms += SECOND_MS
        self.meters.look(self.now_ms)
        return self.meters.server_looks - before


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.segment.close()


def near(reading: Reading) -> list[float]:
    return [pytest.approx(value) for value in reading]


def test_meters_say_what_the_rules_say(bench: Bench) -> None:
    chance = random.Random(7)
    slots, backends = range(BACKENDS * SERVERS), range(BACKENDS)
    servers = [SessionMeter(bench.reader.server(slot), bench.now_ms) for slot in slots]
    totals = [SessionMeter(bench.reader.backend(backend), bench.now_ms) for backend in backends]
    for _ in range(60):
        for _ in range(chance.choice((0, 0, 1, 5))):
            bench.session(chance.randrange(BACKENDS * SERVERS), chance)
        bench.look()
        for slot in slots:
            servers[slot].look(bench.reader.server(slot), bench.now_ms)
            assert list(bench.meters.server(slot)) == near(servers[slot].reading)
        for backend in backends:
            totals[backend].look(bench.reader.backend(backend), bench.now_ms)
            assert list(bench.meters.backend(backend)) == near(totals[backend].reading)


def test_only_servers_of_a_backend_in_which_something_happened_are_looked_at(
    bench: Bench,
) -> None:
    assert [bench.look() for _ in range(3)] == [0, 0, 0]
    bench.session(SERVERS + 4, random.Random(1))
    assert [bench.look() for _ in range(PASSES + 1)] == [SERVERS] * PASSES + [0]
    assert bench.meters.server(SERVERS + 4).rate == 0
    assert bench.meters.server(SERVERS + 4).rate_max > 0


def test_cleared_meters_begin_anew(bench: Bench) -> None:
    chance = random.Random(3)
    bench.session(0, chance)
    bench.look()
    before = bench.meters.server(0)
    bench.meters.clear("server", 0, 1, bench.now_ms, totals=False)
    assert bench.meters.server(0) == before._replace(rate_max=0)
    bench.meters.clear("server", 0, 1, bench.now_ms, totals=True)
    assert bench.meters.server(0) == Reading(0, 0, 0, 0, 0.0, 0.0, 0.0)
    model = SessionMeter(dict.fromkeys(COUNTED, 0), bench.now_ms)
    cleared = bench.reader.server(0)
    bench.session(0, chance)
    bench.look()
    now = bench.reader.server(0)
    model.look({name: now[name] - cleared[name] for name in COUNTED}, bench.now_ms)
    assert list(bench.meters.server(0)) == near(model.reading)


def test_what_does_not_exist_is_an_error(bench: Bench) -> None:
    with pytest.raises(IndexError):
        bench.meters.server(BACKENDS * SERVERS)
    with pytest.raises(IndexError):
        bench.meters.clear("backend", 0, BACKENDS + 1, 0, totals=True)
    with pytest.raises(IndexError):
        bench.cleared.clear("server", 0, BACKENDS * SERVERS + 1, totals=True)
    with pytest.raises(IndexError):
        bench.cleared.frontend(1)
