"""The load test's arithmetic: ratios, medians, the printed table, the reading of wrk and iperf3."""

from __future__ import annotations

import json

import pytest

from loadtest.calls import read_summary
from loadtest.figures import FIGURES, Figure
from loadtest.loads import LOADS
from loadtest.process import ProgramFailedError
from loadtest.site import split_cores
from loadtest.table import Failure, Results, markdown, medians, number, ratio, render
from loadtest.traffic import read_iperf, read_wrk

PROGRAMS = ["millrace", "haproxy", "nginx"]
KEEPALIVE = next(figure for figure in FIGURES if figure.key == "cpu_us")

WRK_REPORT = """\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.85ms    1.02ms  25.83ms   84.50%
    Req/Sec    35.20k     1.73k   38.17k    70.00%
  Latency Distribution
     50%    1.72ms
     75%  850.00us
     90%    3.02ms
     99%    1.05s
  70045 requests in 2.00s, 19.57MB read
  Socket errors: connect 0, read 3, write 0, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  35010.21
"""


def sample(cpu_us: float) -> dict[str, float]:
    return {"cpu_us": cpu_us, "rate": 1e6 / cpu_us, "latency_p99_ms": 1.5}


def three_programs() -> Results:
    results = Results()
    for value in (10.0, 30.0, 11.0):
        results.add("keepalive", "millrace", sample(value))
    for value in (20.0, 22.0, 40.0):
        results.add("keepalive", "haproxy", sample(value))
    results.failures.append(Failure("nginx", "keepalive", 1, "did not start: status 1"))
    return results


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    results = Results()
    for ours, theirs in ((10.0, 20.0), (40.0, 50.0), (30.0, 100.0)):
        results.add("keepalive", "millrace", sample(ours))
        results.add("keepalive", "haproxy", sample(theirs))
    assert ratio(results, KEEPALIVE, "haproxy") == pytest.approx(0.5)


def test_a_ratio_is_median_over_median_where_a_round_failed() -> None:
    results = Results()
    for ours in (10.0, 30.0, 20.0):
        results.add("keepalive", "millrace", sample(ours))
    for theirs in (40.0, 60.0):
        results.add("keepalive", "haproxy", sample(theirs))
    assert ratio(results, KEEPALIVE, "haproxy") == pytest.approx(0.4)


def test_there_is_no_ratio_to_a_program_that_failed_or_used_nothing() -> None:
    results = three_programs()
    assert ratio(results, KEEPALIVE, "nginx") is None
    results.add("keepalive", "nginx", sample(1.0) | {"cpu_us": 0.0})
    assert ratio(results, KEEPALIVE, "nginx") is None


def test_the_table_shows_median_range_ratio_goal_and_failure() -> None:
    text = render(three_programs(), ["millrace", "haproxy", "nginx"])
    row = next(line for line in text.splitlines() if line.startswith("CPU per keep-alive"))
    assert "11.0 (10.0-30.0)" in row
    assert "22.0 (20.0-40.0)" in row
    assert "failed" in row
    assert "0.50" in row
    assert "<=0.92x haproxy" in row
    assert "nginx: keepalive, round 1: did not start: status 1" in text


def test_a_goal_is_met_only_where_every_part_of_it_is() -> None:
    assert KEEPALIVE.met(10.0, {"haproxy": 0.92, "nginx": 0.95})
    assert KEEPALIVE.met(10.0, {"haproxy": 0.92, "nginx": 0.96}) is False
    assert KEEPALIVE.met(10.0, {"haproxy": 0.93}) is False
    assert KEEPALIVE.met(10.0, {}) is None
    limit = Figure("idle", "bytes", "memory", "B", absolute_goal=400)
    assert (limit.met(400.0, {}), limit.met(401.0, {})) == (True, False)
    rows = [line for line in render(three_programs(), PROGRAMS).splitlines() if "per keep-" in line]
    assert [row.split()[-1] for row in rows] == ["met"]


def test_a_figure_over_another_load_is_a_ratio_of_the_same_program() -> None:
    results = Results()
    for below, above in ((10.0, 11.0), (20.0, 24.0)):
        results.add("few", "millrace", {"cpu_us": below})
        results.add("many", "millrace", {"cpu_us": above})
    figure = Figure("many", "cpu_us", "many / few", "x", absolute_goal=1.1, over="few")
    assert results.values(figure, "millrace") == pytest.approx([1.1, 1.2])
    assert results.values(figure, "haproxy") == []


def test_the_markdown_table_has_the_figures_with_a_goal() -> None:
    lines = markdown(three_programs(), PROGRAMS).splitlines()
    assert lines[0] == "| figure | millrace | haproxy | nginx | ratio | goal | |"
    assert len(lines) == 3
    assert lines[2] == (
        "| CPU per keep-alive request | 11.0 us | 22.0 us | failed | 0.50 haproxy "
        "| <=0.92x haproxy, <=0.95x nginx | met |"
    )


def test_a_table_of_strace_is_read() -> None:
    text = (
        "    calls syscall\n--------- ----------------\n"
        "      420 recvfrom\n       17 epoll_wait\n--------- ----------------\n      437 total\n"
    )
    assert read_summary(text) == {"recvfrom": 420, "epoll_wait": 17}


def test_a_table_without_millrace_has_no_ratio_columns() -> None:
    header = render(three_programs(), ["haproxy", "nginx"]).splitlines()[0]
    assert "millrace" not in header


def test_a_program_that_was_not_found_fails_at_every_load() -> None:
    results = three_programs()
    results.failures.append(Failure("millrace", "", 0, "not installed"))
    assert results.failed("close", "millrace")
    assert not results.failed("close", "haproxy")


def test_medians_cover_every_raw_number() -> None:
    assert medians(three_programs().samples)["keepalive"]["haproxy"]["rate"] == pytest.approx(
        1e6 / 22.0
    )


def test_a_system_call_that_one_round_has_not_seen_counts_nothing_there() -> None:
    samples = {"calls": {"haproxy": [{"calls": 2.0, "calls_rare": 1.0}, {"calls": 2.0}]}}
    assert medians(samples) == {"calls": {"haproxy": {"calls": 2.0, "calls_rare": 0.5}}}


@pytest.mark.parametrize(
    ("value", "text"), [(0.0421, "0.042"), (3.14159, "3.14"), (12.34, "12.3"), (67777.4, "67,777")]
)
def test_numbers_keep_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_every_load_has_a_figure_and_every_figure_a_load() -> None:
    assert {load.name for load in LOADS} == {figure.load for figure in FIGURES}


def test_a_wrk_report_is_read_with_its_units_and_errors() -> None:
    requests, seconds, figures = read_wrk(WRK_REPORT)
    assert (requests, seconds) == (70045, 2.0)
    assert figures["latency_p50_ms"] == pytest.approx(1.72)
    assert figures["latency_p99_ms"] == pytest.approx(1050.0)
    assert figures["errors"] == 12


def test_a_wrk_report_without_requests_is_a_failure() -> None:
    with pytest.raises(ProgramFailedError, match="no request"):
        read_wrk(WRK_REPORT.replace("70045", "0"))


def test_an_iperf3_report_gives_received_bytes_or_its_error() -> None:
    good = {"end": {"sum_received": {"bytes": 5_000_000, "seconds": 2.5}}}
    assert read_iperf(json.dumps(good)) == (5_000_000.0, 2.5)
    with pytest.raises(ProgramFailedError, match="unable to connect"):
        read_iperf(json.dumps({"error": "unable to connect"}))


def test_the_proxy_has_a_core_of_its_own_where_there_are_two() -> None:
    assert split_cores({0, 1, 5}) == (frozenset({5}), frozenset({0, 1}))
    assert split_cores({3}) == (frozenset({3}), frozenset({3}))
