"""Rates, recent averages and availability with a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.rows.rates import AVERAGE_WINDOW, Availability, Average, Rate, SessionMeter


def test_a_rate_is_what_happened_per_second_since_the_last_look() -> None:
    rate = Rate(100, 1_000)
    rate.look(150, 2_000)
    assert (rate.current, rate.highest) == (50, 50)
    rate.look(160, 4_000)
    assert (rate.current, rate.highest) == (5, 50)


def test_a_total_that_fell_counts_as_nothing() -> None:
    rate = Rate(100, 1_000)
    rate.look(20, 2_000)
    assert rate.current == 0
    rate.look(30, 3_000)
    assert rate.current == 10


def test_a_second_look_at_the_same_moment_changes_nothing() -> None:
    rate = Rate(0, 1_000)
    rate.look(10, 2_000)
    rate.look(30, 2_000)
    assert rate.current == 10
    rate.look(30, 3_000)
    assert rate.current == 20


def test_an_average_begins_with_all_and_forgets_what_is_long_ago() -> None:
    average = Average(0, 0)
    average.look(100, 10)
    assert average.mean == 10
    average.look(100 + 20 * AVERAGE_WINDOW, 10 + AVERAGE_WINDOW)
    assert average.mean == 20
    average.look(average.total + 512 * 40, average.count + 512)
    assert average.mean == 30


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_an_average_of_few_values_is_their_mean(values: list[int]) -> None:
    average = Average(0, 0)
    for position in range(len(values)):
        average.look(sum(values[: position + 1]), position + 1)
    assert abs(average.mean - sum(values) / len(values)) < 1e-6


def test_a_backend_counts_its_downs_and_how_long_they_lasted() -> None:
    availability = Availability(up=True, since_ms=0)
    availability.look(up=True, now_ms=1_000)
    assert (availability.changed_ms, availability.downs) == (0, 0)
    availability.look(up=False, now_ms=2_000)
    assert availability.downtime_ms(2_500) == 500
    availability.look(up=True, now_ms=5_000)
    availability.look(up=False, now_ms=9_000)
    assert (availability.downs, availability.changed_ms) == (2, 9_000)
    assert availability.downtime_ms(9_100) == 3_100


def test_a_meter_reads_counters_that_a_frontend_or_a_server_has() -> None:
    server = {"sessions_total": 0, "connect_time_sum_ms": 0, "connected": 0}
    meter = SessionMeter({**server, "total_time_sum_ms": 0, "ended": 0}, 0)
    meter.look(
        {
            "sessions_total": 8,
            "connect_time_sum_ms": 30,
            "connected": 10,
            "total_time_sum_ms": 500,
            "ended": 5,
        },
        2_000,
    )
    assert meter.sessions.current == 4
    assert (meter.connect_time.mean, meter.total_time.mean) == (3, 100)
    assert SessionMeter({"sessions_total": 1, "connections_total": 2}, 0).connections.total == 2
