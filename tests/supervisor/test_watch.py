"""The life of one child, with a fake clock."""

from __future__ import annotations

import pytest

from proxy.supervisor.backoff import Backoff
from proxy.supervisor.children import Child
from proxy.supervisor.limits import (
    ADOPT_AFTER_MS,
    BACKOFF_FIRST_MS,
    BACKOFF_MAX_MS,
    BACKOFF_RESET_MS,
    HOPELESS_DEATHS,
    STALE_AFTER_MS,
    START_LIMIT_MS,
    STARVED_LIMIT_MS,
    SUSPECT_AFTER_MS,
)
from proxy.supervisor.ping import line_of
from proxy.supervisor.watch import Life, Watch
from shm.processes import ProcessStatus
from shm.states import ProcessState

T = 1_000_000


def status(main: int, relay: int, state: ProcessState = ProcessState.READY) -> ProcessStatus:
    return ProcessStatus(1, 0, T, 0, state, main, relay, 0, 0)


@pytest.fixture
def serving() -> Watch:
    watch = Watch(T, has_relay=True)
    watch.started(T)
    assert not watch.look(status(T, T), T)
    assert watch.life is Life.SERVING
    return watch


def test_a_new_position_is_due_at_once_and_serves_when_its_process_says_ready() -> None:
    watch = Watch(T, has_relay=True)
    assert watch.due(T)
    watch.started(T)
    assert not watch.due(T)
    assert not watch.look(status(0, 0, ProcessState.STARTING), T + 50)
    assert watch.can_serve(T + ADOPT_AFTER_MS - 1)
    assert not watch.can_serve(T + ADOPT_AFTER_MS)
    assert not watch.look(status(0, 0), T + 150)
    assert watch.can_serve(T + 150)


def test_a_child_that_never_becomes_ready_is_killed_once() -> None:
    watch = Watch(T, has_relay=True)
    watch.started(T)
    silent = status(0, 0, ProcessState.STARTING)
    assert not watch.look(silent, T + START_LIMIT_MS - 1)
    assert watch.look(silent, T + START_LIMIT_MS)
    assert not watch.look(silent, T + START_LIMIT_MS + 1)


@pytest.mark.parametrize(("main", "relay"), [(T, T + 9_000), (T + 9_000, T)])
def test_one_late_heartbeat_of_the_two_is_suspect_then_stale(
    serving: Watch, main: int, relay: int
) -> None:
    late = status(main, relay)
    assert not serving.look(late, T + SUSPECT_AFTER_MS - 1)
    assert serving.life is Life.SERVING
    assert not serving.look(late, T + SUSPECT_AFTER_MS)
    assert serving.life is Life.SUSPECT
    assert serving.can_serve(T + SUSPECT_AFTER_MS + ADOPT_AFTER_MS - 1)
    assert not serving.can_serve(T + SUSPECT_AFTER_MS + ADOPT_AFTER_MS)
    assert not serving.look(late, T + STALE_AFTER_MS - 1)
    assert serving.look(late, T + STALE_AFTER_MS)
    assert serving.life is Life.CONDEMNED


def test_time_without_a_cpu_makes_no_child_stale_within_a_limit(serving: Watch) -> None:
    silent = status(T, T)
    assert not serving.late(silent, T + SUSPECT_AFTER_MS - 1)
    assert serving.late(silent, T + SUSPECT_AFTER_MS)
    at_ms = T + STARVED_LIMIT_MS - 1
    starved_ms = STARVED_LIMIT_MS - STALE_AFTER_MS
    assert not serving.look(silent, at_ms, starved_ms=starved_ms)
    assert serving.life is Life.SUSPECT
    assert not serving.can_serve(at_ms + ADOPT_AFTER_MS)
    assert serving.look(silent, T + STARVED_LIMIT_MS, starved_ms=STARVED_LIMIT_MS)


def test_a_start_without_a_cpu_is_not_late() -> None:
    watch = Watch(T, has_relay=True)
    watch.started(T)
    silent = status(0, 0, ProcessState.STARTING)
    assert not watch.look(silent, T + START_LIMIT_MS, starved_ms=1)
    assert watch.look(silent, T + START_LIMIT_MS + 1, starved_ms=1)


def test_a_child_without_relay_is_judged_by_its_one_heartbeat() -> None:
    watch = Watch(T, has_relay=False)
    watch.started(T)
    watch.look(status(T, 0), T)
    assert not watch.look(status(T + 5_000, 0), T + 5_100)
    assert watch.life is Life.SERVING


def test_a_suspect_that_beats_again_serves_again(serving: Watch) -> None:
    serving.look(status(T, T), T + 2_000)
    assert not serving.look(status(T + 2_100, T + 2_100), T + 2_200)
    assert serving.life is Life.SERVING
    assert serving.can_serve(T + 9_999)


def test_a_stopped_child_is_suspect_at_once_and_only_a_later_beat_brings_it_back(
    serving: Watch,
) -> None:
    serving.stopped(T + 10)
    assert serving.life is Life.SUSPECT
    serving.look(status(T + 9, T + 9), T + 20)
    assert serving.life is Life.SUSPECT, "the beat is from before the stop"
    serving.look(status(T + 30, T + 30), T + 40)
    assert serving.life is Life.SERVING


def test_the_first_death_is_replaced_at_once_and_the_next_ones_later_and_later() -> None:
    backoff = Backoff()
    delays = [backoff.died(5, T) - T for _ in range(9)]
    assert delays == [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    for _ in range(10_000):
        assert backoff.died(5, T) - T == BACKOFF_MAX_MS


def test_where_no_other_worker_is_there_only_failed_starts_count(serving: Watch) -> None:
    """Clients of all workers wait for the first of them."""
    rests = []
    for _ in range(9):
        serving.died(T)
        rests.append(serving.next_start_ms(alone=True) - T)
        serving.started(T)
        serving.look(status(T, T), T)
    assert rests == [0, *[BACKOFF_FIRST_MS] * 8]
    assert serving.life is Life.SERVING
    rests = []
    for _ in range(9):
        serving.died(T)
        rests.append(serving.next_start_ms(alone=True) - T)
        serving.started(T)
    assert rests == [100, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]


def test_silence_while_the_supervisor_was_away_does_not_count(serving: Watch) -> None:
    late = status(T, T)
    for at_ms in range(T + STALE_AFTER_MS, T + 3 * STALE_AFTER_MS, 250):
        serving.pardon(at_ms)
    assert not serving.look(late, at_ms + 250)
    assert serving.life is Life.SUSPECT
    assert not serving.look(late, at_ms + STALE_AFTER_MS, starved_ms=1)
    assert serving.look(late, at_ms + STALE_AFTER_MS)


def test_a_process_that_was_ready_between_two_looks_has_served() -> None:
    watch = Watch(T, has_relay=True)
    for _ in range(HOPELESS_DEATHS):
        watch.started(T)
        watch.ended(status(T, T))
        watch.died(T)
        assert watch.next_start_ms(alone=True) - T <= BACKOFF_FIRST_MS
        assert watch.adoption_due_ms() == T
    assert not watch.hopeless


def test_ten_good_seconds_forgive_all_deaths() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.died(5, T)
    assert backoff.died(BACKOFF_RESET_MS, T) == T
    assert backoff.died(BACKOFF_RESET_MS - 1, T) == T + 100


def test_a_dead_child_is_away_from_its_death_until_its_successor_is_ready(serving: Watch) -> None:
    serving.died(T + 1_000)
    assert serving.due(T + 1_000)
    assert serving.adoption_due_ms() == T + 1_000, "there is nothing to wait for"
    serving.started(T + 1_001)
    assert not serving.can_serve(T + 1_001)
    serving.look(status(0, 0), T + 1_150)
    assert serving.can_serve(T + 1_150)
    assert serving.adoption_due_ms() is None
    assert serving.restarts == 1


def test_one_that_has_ended_is_away_before_anything_is_settled(serving: Watch) -> None:
    serving.lost(T + 1_000)
    assert not serving.can_serve(T + 1_000)
    assert not serving.due(T + 1_000), "no successor before that"
    serving.ended(status(T, T))
    serving.died(T + 1_007)
    assert serving.due(T + 1_007)
    assert serving.adoption_due_ms() == T + 1_000


def test_a_position_where_nobody_was_ever_ready_becomes_hopeless(serving: Watch) -> None:
    watch = Watch(T, has_relay=True)
    for death in range(HOPELESS_DEATHS):
        assert not watch.hopeless
        watch.started(T + death)
        watch.died(T + death)
    assert watch.hopeless
    for _ in range(HOPELESS_DEATHS):
        serving.died(T)
        serving.started(T)
    assert not serving.hopeless


def test_a_retired_child_gets_no_successor_until_it_is_revived(serving: Watch) -> None:
    serving.retire()
    serving.died(T + 5)
    assert not serving.due(T + 60_000)
    serving.revive(T + 70)
    assert serving.due(T + 70)


def test_a_retired_child_that_hangs_is_killed_once(serving: Watch) -> None:
    serving.retire()
    stopping = status(T, T, ProcessState.STOPPING)
    assert not serving.look(stopping, T + STALE_AFTER_MS - 1)
    assert serving.look(stopping, T + STALE_AFTER_MS)
    assert not serving.look(stopping, T + STALE_AFTER_MS + 1)


def test_a_ping_tells_who_starts_from_who_is_away(serving: Watch) -> None:
    starting, waiting = (Watch(T, has_relay=True) for _ in range(2))
    starting.started(T)
    one, two, control = (
        Child(name, 0, lambda: None, frozenset(), watch)
        for name, watch in (("worker 0", starting), ("worker 1", waiting), ("control", serving))
    )
    said = "failing: 0 of 1 workers serve; starting: worker 0"
    assert line_of([one], [control], stopping=False) == said
    said = "failing: 0 of 2 workers serve; starting: worker 0; away: worker 1"
    assert line_of([one, two], [control], stopping=False) == said
    assert not starting.look(status(T, T), T)
    assert line_of([one], [control], stopping=False) == "ok: 1 of 1 workers serve"
