"""How many servers the checks look at when something changes, and how many without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.config.model.settings import Check
from proxy.health.check import RunningCheck
from proxy.health.checker import LOOKS_AT_ONCE
from proxy.health.share import CheckedServer
from proxy.health.watched import Watched
from proxy.health.worker_checker import Checker
from proxy.runtime import now_ms
from shm.check_status import CheckStatus
from shm.slots import HealthTableWriter
from shm.states import AdminFlag
from tests.support.common import wait_for
from tests.support.relay.worker import Backend, Site, Spec, settings_of, site

SERVERS = 5 * LOOKS_AT_ONCE
SELDOM = Check(inter_ms=86_400_000)


class Counting(Checker):
    """Counts its looks, and those between two turns of the loop."""

    def __init__(self, made: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.looks = self.turn = self.longest_turn = 0
        super().__init__(made.runtime, 0, loop)

    def _observe(self, watched: Watched[RunningCheck]) -> bool:
        self.count()
        return super()._observe(watched)

    def _first_look(self, server: CheckedServer) -> None:
        self.count()
        super()._first_look(server)

    def count(self) -> None:
        self.looks += 1
        self.turn += 1
        self.longest_turn = max(self.longest_turn, self.turn)


class Bench:
    """A checker of many servers in this process, with a loop that runs when the test says so."""

    def __init__(self, made: Site) -> None:
        self.made = made
        self.loop = asyncio.new_event_loop()
        self.checker = Counting(made, self.loop)

    def turn(self) -> None:
        """Let everything that is ready run once."""
        self.checker.turn = 0
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def begin_all(self) -> bool:
        """Begin what is due, and hear of no outcome; True when all checks are under way."""
        self.checker._begin_due()
        slots = range(len(self.made.reader))
        return all(self.made.health(slot).check_state & 1 for slot in slots)

    def settle(self) -> int:
        """Run until nothing is left to look at; how many looks that took."""
        before = self.checker.looks
        for _ in range(2 * SERVERS // LOOKS_AT_ONCE):
            self.turn()
        return self.checker.looks - before


@pytest.fixture
def bench() -> Iterator[Bench]:
    specs = [Spec("127.77.9.1", 80, SELDOM)] * SERVERS
    with site(settings_of(specs)) as made:
        bench = Bench(made)
        bench.checker.start()
        assert bench.settle() + bench.checker.looks >= SERVERS
        yield bench
        bench.checker.stop()
        bench.loop.close()


def test_a_change_of_one_server_costs_one_look(bench: Bench) -> None:
    bench.checker.look()
    bench.settle()
    bench.made.administer(17, AdminFlag.FMAINT)
    before = bench.checker.looks
    bench.checker.look()
    bench.settle()
    # its record, and its health, which the first look has changed
    assert 1 <= bench.checker.looks - before <= 2
    assert bench.made.health(17).check_state & 8, "paused"


def test_a_check_that_passed_in_time_is_no_timeout_for_a_worker_that_slept() -> None:
    good = Backend("127.77.9.3").open()
    check = Check(inter_ms=200, fall=1)
    with site(settings_of([Spec(good.host, good.port, check)] * 5)) as made:
        bench = Bench(made)
        bench.checker.start()
        bench.turn()
        wait_for(bench.begin_all, 10, "five checks under way")
        past_ms = now_ms() + 2 * check.inter_ms
        wait_for(lambda: now_ms() > past_ms, 10, "the time is up")
        bench.checker._turn()
        assert [made.health(slot).status for slot in range(5)] == [CheckStatus.L4OK] * 5
        bench.checker.stop()
        bench.loop.close()
    good.close()


def test_a_look_at_every_server_comes_in_portions(bench: Bench) -> None:
    assert bench.checker.longest_turn <= LOOKS_AT_ONCE, "the first looks"
    HealthTableWriter(bench.made.segment)  # another worker begins: anything may have changed
    bench.checker.turn = 0
    bench.checker.look()
    assert bench.settle() + LOOKS_AT_ONCE >= SERVERS
    assert bench.checker.longest_turn <= LOOKS_AT_ONCE
