"""Rise and fall as a pure counter; the numbers are those that Debian's HAProxy shows."""

from __future__ import annotations

import errno

import pytest
from msgspec.structs import replace

from proxy.config.model.settings import Check
from proxy.health.judgement import Change, Outcome, interval_ms, judged, started
from proxy.health.rise_fall import (
    BUSY,
    IDLE,
    PAUSED,
    Sight,
    Thresholds,
    adopted,
    ordered,
    seen,
)
from shm.check_status import CheckStatus
from shm.states import HEALTH_NONE, HealthOrder, HealthState, Operational

PASSED = Outcome(CheckStatus.L4OK, 0, 100)
REFUSED = Outcome(CheckStatus.L4CON, errno.ECONNREFUSED, 50)
TIMED_OUT = Outcome(CheckStatus.L4TOUT, 0, 300_000)
NO_SOCKET = Outcome(CheckStatus.SOCKERR, errno.EMFILE, 3, own_fault=True)
THREE = Thresholds(rise=3, fall=3)
HERE = Sight(incarnation=1, generation=1, checkable=True)


def start(thresholds: Thresholds = THREE, now_ms: int = 1_000) -> HealthState:
    return seen(HEALTH_NONE, thresholds, HERE, now_ms)


def after(state: HealthState, outcomes: list[Outcome], thresholds: Thresholds = THREE) -> list[int]:
    counters = []
    for outcome in outcomes:
        state, _ = judged(state, thresholds, outcome, state.changed_ms + 10)
        counters.append(state.health)
    return counters


def test_a_server_starts_up_at_rise_with_no_check_behind_it() -> None:
    state = start()
    assert state.operational == Operational.RUNNING
    assert (state.health, state.status, state.result, state.check_state) == (3, 1, 0, IDLE)


def test_the_first_failed_check_takes_a_new_server_down() -> None:
    state, change = judged(start(), THREE, REFUSED, 2_000)
    assert change is Change.DOWN
    assert (state.operational, state.health, state.status, state.result) == (0, 0, 8, 2)
    assert (state.failures, state.downs, state.changed_ms, state.code) == (1, 1, 2_000, 111)


def test_the_first_passed_check_makes_a_server_fully_up() -> None:
    state, change = judged(start(), THREE, PASSED, 2_000)
    assert change is Change.NONE
    assert (state.operational, state.health, state.status, state.result) == (2, 5, 6, 3)
    assert state.changed_ms == 1_000


def test_it_takes_fall_failures_in_a_row_to_go_down() -> None:
    state, _ = judged(start(), THREE, PASSED, 1_100)
    assert after(state, [REFUSED, REFUSED, REFUSED]) == [4, 3, 0]
    assert after(state, [REFUSED, REFUSED, PASSED, REFUSED, REFUSED]) == [4, 3, 5, 4, 3]


def test_it_takes_rise_passes_in_a_row_to_come_up() -> None:
    down, _ = judged(start(), THREE, TIMED_OUT, 1_100)
    assert after(down, [PASSED, PASSED, PASSED]) == [1, 2, 5]
    assert after(down, [PASSED, PASSED, REFUSED, PASSED]) == [1, 2, 0, 1]


def test_coming_up_is_one_change_and_closes_the_downtime() -> None:
    state, _ = judged(start(), THREE, REFUSED, 2_000)
    changes = []
    for now_ms in (3_000, 3_500, 4_000):
        state, change = judged(state, THREE, PASSED, now_ms)
        changes.append(change)
    assert changes == [Change.NONE, Change.NONE, Change.UP]
    assert (state.operational, state.downtime_ms, state.changed_ms) == (2, 2_000, 4_000)


def test_failures_count_only_while_there_is_health_to_lose() -> None:
    state = start()
    for _ in range(5):
        state, _ = judged(state, THREE, REFUSED, 2_000)
    assert state.failures == 1
    assert state.downs == 1


def test_a_socket_error_of_our_own_changes_nothing() -> None:
    state, change = judged(start(), THREE, NO_SOCKET, 2_000)
    assert change is Change.NONE
    assert (state.health, state.operational, state.failures) == (3, 2, 0)
    assert (state.status, state.result) == (5, 0)


@pytest.mark.parametrize(("rise", "fall"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_thresholds_hold_for_any_rise_and_fall(rise: int, fall: int) -> None:
    thresholds = Thresholds(rise, fall)
    state, _ = judged(start(thresholds), thresholds, PASSED, 1_100)
    for number in range(1, fall + 1):
        state, change = judged(state, thresholds, REFUSED, 1_200)
        assert (change is Change.DOWN) == (number == fall)
    for number in range(1, rise + 1):
        state, change = judged(state, thresholds, PASSED, 1_300)
        assert (change is Change.UP) == (number == rise)
    assert state.health == rise + fall - 1


def test_a_check_under_way_hides_the_former_result_but_not_the_status() -> None:
    state, _ = judged(start(), THREE, PASSED, 1_100)
    assert (started(state).check_state, started(state).result, started(state).status) == (
        BUSY,
        0,
        6,
    )


def test_intervals_follow_the_state() -> None:
    check = Check(inter_ms=2_000, fastinter_ms=500, downinter_ms=5_000, rise=3, fall=3)
    fresh = start()
    full, _ = judged(fresh, THREE, PASSED, 1_100)
    falling, _ = judged(full, THREE, REFUSED, 1_200)
    down, _ = judged(fresh, THREE, REFUSED, 1_100)
    rising, _ = judged(down, THREE, PASSED, 1_200)
    states = [fresh, full, falling, down, rising]
    assert [interval_ms(s, THREE, check) for s in states] == [500, 2_000, 500, 5_000, 500]
    plain = Check(inter_ms=2_000)
    assert {interval_ms(s, THREE, plain) for s in states} == {2_000}


def test_a_new_incarnation_starts_anew_and_keeps_its_counters() -> None:
    down, _ = judged(start(), THREE, REFUSED, 2_000)
    state = seen(down, THREE, Sight(2, 5, True), 5_000)
    assert (state.operational, state.health, state.incarnation, state.generation) == (2, 3, 2, 5)
    assert (state.failures, state.downs, state.downtime_ms) == (1, 1, 3_000)


def test_another_address_in_the_same_incarnation_keeps_the_health() -> None:
    full, _ = judged(start(), THREE, PASSED, 1_100)
    falling, _ = judged(full, THREE, REFUSED, 1_200)
    state = seen(started(falling), THREE, Sight(1, 2, True), 5_000)
    assert (state.health, state.generation, state.check_state) == (4, 2, IDLE)
    assert state.changed_ms == falling.changed_ms


def test_maintenance_pauses_and_leaving_it_starts_anew() -> None:
    full, _ = judged(start(), THREE, PASSED, 1_100)
    held = seen(full, THREE, Sight(1, 1, False), 2_000)
    assert (held.check_state, held.operational, held.downs) == (PAUSED, 2, 1)
    assert seen(held, THREE, Sight(1, 1, False), 2_500) is held
    back = seen(held, THREE, HERE, 3_000)
    assert (back.check_state, back.operational, back.health, back.status) == (IDLE, 2, 3, 6)
    assert (back.downs, back.downtime_ms, back.changed_ms) == (1, 1_000, 3_000)


def test_maintenance_of_a_down_server_is_no_second_fall() -> None:
    down, _ = judged(start(), THREE, REFUSED, 2_000)
    held = seen(down, THREE, Sight(1, 1, False), 4_000)
    back = seen(held, THREE, HERE, 5_000)
    assert (back.operational, back.downs, back.downtime_ms) == (2, 1, 3_000)


def test_init_state_down_needs_one_passed_check() -> None:
    thresholds = Thresholds(3, 3, starts_down=True)
    state = start(thresholds)
    assert (state.operational, state.health) == (0, 2)
    state, change = judged(state, thresholds, PASSED, 1_100)
    assert (change, state.health) == (Change.UP, 5)


def test_a_carried_record_is_fitted_to_new_thresholds() -> None:
    full, _ = judged(start(), THREE, PASSED, 1_100)
    assert adopted(started(full), Thresholds(2, 2)).health == 3
    assert adopted(started(full), Thresholds(2, 2)).check_state == IDLE
    down, _ = judged(start(), THREE, REFUSED, 1_100)
    rising, _ = judged(down, THREE, PASSED, 1_200)
    assert adopted(replace(rising, health=2), Thresholds(2, 2)).health == 1


def test_fully_up_and_fully_down_take_all_their_checks() -> None:
    up = Thresholds(3, 3, fully=True)
    assert after(start(up), [REFUSED, REFUSED, REFUSED], up) == [4, 3, 0]
    down = Thresholds(3, 3, starts_down=True, fully=True)
    state = start(down)
    assert (state.operational, state.health) == (0, 0)
    assert after(state, [PASSED, PASSED, PASSED], down) == [1, 2, 5]


def test_an_order_holds_until_checks_say_otherwise() -> None:
    state, change = ordered(start(), THREE, HealthOrder.DOWN, 1, 2_000)
    assert (change, state.operational, state.health, state.downs) == (Change.DOWN, 0, 0, 1)
    assert after(state, [PASSED, PASSED, PASSED]) == [1, 2, 5]
    state, change = ordered(state, THREE, HealthOrder.STOPPING, 2, 3_000)
    assert (change, state.operational, state.health) == (Change.STOPPING, 3, 5)
    back, change = judged(state, THREE, PASSED, 3_500)
    assert (change, back.operational) == (Change.UP, 2)
    failed, change = judged(state, THREE, REFUSED, 3_500)
    assert (change, failed.operational, failed.health) == (Change.NONE, 3, 4)
    state, change = ordered(failed, THREE, HealthOrder.UP, 3, 4_000)
    assert (change, state.operational, state.health, state.downs) == (Change.UP, 2, 5, 1)
    assert state.orders_taken == 3


def test_an_order_in_maintenance_or_about_another_address_is_noted_and_void() -> None:
    held = seen(start(), THREE, Sight(1, 1, False), 2_000)
    state, change = ordered(held, THREE, HealthOrder.DOWN, 1, 3_000)
    assert (change, state) == (Change.NONE, replace(held, orders_taken=1))
    state, change = ordered(start(), THREE, HealthOrder.NONE, 2, 3_000)
    assert (change, state) == (Change.NONE, replace(start(), orders_taken=2))


def test_what_was_found_of_an_address_is_not_shown_for_the_next_one() -> None:
    down, _ = judged(start(), THREE, REFUSED, 2_000)
    held = seen(down, THREE, Sight(1, 2, False), 3_000)
    assert (held.status, held.result, held.code) == (8, 2, 111)
    back = seen(held, THREE, Sight(2, 3, True), 4_000)
    assert (back.status, back.result, back.code) == (CheckStatus.INI, 0, 0)
    assert (back.failures, back.downs, back.checked_ms) == (1, 1, 2_000)
    left = seen(held, THREE, Sight(1, 2, True), 4_000)  # maintenance: the address is the same
    assert (left.status, left.code) == (8, 111)
    restored = replace(HEALTH_NONE, status=8, result=2)  # by a state file, before any look
    assert seen(restored, THREE, Sight(1, 1, True), 4_000).status == 8
