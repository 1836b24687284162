"""What a connection costs does not grow with the number of workers: lines of others that it reads.

The product's own functions, compiled so that each load of shared memory is counted (lines.pyx).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from shm.states import StaticFlag, StaticState
from tests.support.compiled import compiled

MAXCONN = 100_000
CLIENTS = 500
MANY = (16, 64)


@pytest.fixture(scope="module")
def lines() -> Any:
    flags = ("-O1", "-g0", "-DMILLRACE_LOADED")
    return compiled(Path(__file__).parent / "lines.pyx", *flags)


class Site:
    """A segment with a frontend, a bind address and a backend of one server, and its workers."""

    def __init__(self, lines: Any, workers: int, maxconn: int = MAXCONN, *, rate: int = 0) -> None:
        self.segment = Segment.create(Shape(1, 1, 1, workers, 1, 0, 0, binds=1))
        writer = SlotTableWriter(self.segment)
        writer.lay_backend(0, 0, 1)
        writer.place(0, StaticState(0, StaticFlag(0), 1, workers, 2, 3, 1))
        self.workers = [
            lines.Worker(self.segment, number, maxconn, rate) for number in range(workers)
        ]

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.clear()
        self.segment.close()


@pytest.mark.parametrize("workers", [2, *MANY])
def test_clients_below_the_limits_cost_nobody_elses_lines(lines: Any, workers: int) -> None:
    """Places are taken ahead: hardly a client needs a look at others, and no end does."""
    with Site(lines, workers) as site:
        own = site.workers[1]
        assert own.accept()[0]
        looks = [own.accept() for _ in range(CLIENTS)]
        assert all(taken for taken, _ in looks)
        with_look = [found for _, found in looks if found]
        assert len(with_look) <= CLIENTS // 64 + 1
        assert {own.end() for _ in range(CLIENTS // 2)} == {0}
        steady = [(own.accept(), own.end()) for _ in range(CLIENTS)]
        assert {(found, end) for (_, found), end in steady} == {(0, 0)}
        assert own.total() >= CLIENTS // 2


@pytest.mark.parametrize("workers", [2, *MANY])
def test_places_at_servers_cost_nobody_elses_rows(lines: Any, workers: int) -> None:
    """No row of a worker in which nobody waits; the cells of a server are in the gauges."""
    with Site(lines, workers) as site:
        assert [(each.connect(workers), each.leave()) for each in site.workers] == (
            [(0, 0)] * workers
        )


@pytest.mark.parametrize("workers", MANY)
def test_lines_of_the_log_share_one_look_at_all_workers(lines: Any, workers: int) -> None:
    with Site(lines, workers) as site:
        for each in site.workers:
            assert each.accept()[0]
        looks, sums = site.workers[0].tell()
        assert looks > workers
        assert sums == (workers, workers, 0, 0)
        assert [each.tell() for each in site.workers[1:]] == [(0, sums)] * (workers - 1)
        for each in site.workers:
            each.accept()
        assert site.workers[0].tell() == (0, sums)
        site.workers[0].pass_ms(10)
        assert site.workers[0].tell()[1] == (2 * workers, 2 * workers, 0, 0)


def test_few_workers_are_added_up_for_each_line_of_the_log(lines: Any) -> None:
    with Site(lines, 8) as site:
        for number, each in enumerate(site.workers):
            each.accept()
            assert each.tell()[1] == (number + 1, number + 1, 0, 0)


@pytest.mark.parametrize("workers", [2, *MANY])
def test_no_more_are_accepted_than_the_limit_allows(lines: Any, workers: int) -> None:
    """Those who take places ahead leave fewer to others, and never take one too many."""
    most = 20 * workers
    with Site(lines, workers, most) as site:
        accepted = 0
        for _ in range(40):
            for each in site.workers:
                taken, _ = each.accept()
                accepted += taken
        assert most // 2 <= accepted <= most
        assert site.workers[0].total() <= most


@pytest.mark.parametrize("workers", [2, *MANY])
def test_a_limited_rate_costs_one_line_whatever_the_number_of_workers(
    lines: Any, workers: int
) -> None:
    """Each of two rates has one, and one beside it that has stopped workers, where it is near."""
    rate = 20 * workers
    with Site(lines, workers, 0, rate=rate) as site:
        far = [site.workers[number % workers].pass_one() for number in range(rate - workers)]
        assert set(far) == {(True, 2)}
        near = [each.pass_one() for each in site.workers]
        assert set(near) == {(True, 4)}
        assert {each.pass_one() for each in site.workers} == {(False, 1)}
        assert {each.end() for each in site.workers} == {0}
        for each in site.workers:
            each.pass_ms(2_000)
        assert {each.pass_one() for each in site.workers} == {(True, 2)}


@pytest.mark.parametrize("workers", [2, *MANY])
def test_rates_that_rules_ask_for_cost_one_line(lines: Any, workers: int) -> None:
    with Site(lines, workers) as site:
        assert {each.come() for each in site.workers} == {2}
        for each in site.workers:
            assert each.ask(True) == each.ask(False) == (workers, 1)


@pytest.mark.parametrize("workers", [2, *MANY])
@pytest.mark.parametrize("at_server", [False, True])
def test_sessions_in_queues_are_counted_where_any_wait(
    lines: Any, workers: int, at_server: bool
) -> None:
    """A session that comes to a queue looks at no worker that has none there."""
    with Site(lines, workers) as site:
        first, second = site.workers[0], site.workers[-1]
        assert first.waiting(at_server) == (0, 0)
        first.wait(at_server)
        first.wait(at_server)
        assert second.waiting(at_server) == (2, 1)
        second.wait(at_server)
        assert first.waiting(at_server) == second.waiting(at_server) == (3, 1)
        assert first.waiting(not at_server) == (0, 0)
