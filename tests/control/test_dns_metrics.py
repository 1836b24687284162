"""Metrics that warn of names in trouble: from records in a real segment, parsed back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from proxy.config.model.settings import Origin, Proxy
from proxy.runtime import now_ms
from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.dns.answer import Status
from resolverd.pace.durations import MOVE_BOUNDS_MS, RUN_BOUNDS_MS, move_bucket, run_bucket
from shm.histograms import BUCKETS, MOVES, RUNS, WORDS, HistogramReader, HistogramWriter
from shm.segment import Segment
from shm.shape import Shape
from tests.support.control.http import get
from tests.support.control.sections import METRICS
from tests.support.control.site import World, a_server, control_world

SECTIONS = tuple(
    ResolversSection(
        name, (Nameserver("ns1", "127.0.0.1", index=index),), holds=Holds(nx_ms=60_000)
    )
    for index, name in enumerate(("r1", "r2"))
)
RESOLUTIONS = tuple(
    ResolutionSettings(index, "r1", name, Family.IPV4, ())
    for index, name in enumerate(("good.test", "held.test", "gone.test", "new.test"))
)
MERGED = ResolutionSettings(4, "r1", "both.test", Family.IPV6, (), all_families=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    proxies = [
        Proxy("be", 2, "backend", Origin(), servers=(a_server("s1", "127.78.7.1", 80),)),
        Proxy("prom", 3, "frontend", Origin(), http=METRICS),
    ]
    settings = ResolverdSettings(SECTIONS, (*RESOLUTIONS, MERGED))
    with control_world(proxies, resolverd=settings) as made:
        now = now_ms()
        for index, status, used in ((0, Status.VALID, 2), (1, Status.NX, 2), (2, Status.NX, 0)):
            made.nameservers.record(
                index, last_valid_ms=now - 10_000, last_run_ms=now, status=status, slots_used=used
            )
            made.nameservers.record(index, answered=1)
        made.nameservers.record(0, triggers_held_until_ms=now + 600_000)
        made.nameservers.count(0, "invalid", 3)
        made.nameservers.count(1, "outdated", 4)
        made.nameservers.count(1, "unusable", 5)
        made.nameservers.count(1, "doubted", 6)
        writer = HistogramWriter(made.segment)
        for milliseconds in (0, 1, 3, 4_999, 99_999):
            writer.observe(0, RUNS, run_bucket(milliseconds), milliseconds)
        writer.observe(1, MOVES, move_bucket(10), 10)
        yield made


def scrape(world: World, *, openmetrics: bool = False) -> dict[str, Metric]:
    headers = {"Accept": "application/openmetrics-text"} if openmetrics else {}
    answer = get(world, "prom", "/metrics?scope=millrace", headers=headers)
    assert answer.status == 200
    parse = openmetrics_families if openmetrics else text_families
    return {family.name: family for family in parse(answer.text)}


def by_name(family: Metric) -> dict[str, float]:
    return {sample.labels["name"]: sample.value for sample in family.samples}


def test_names_that_live_on_a_hold(world: World) -> None:
    found = scrape(world)
    assert by_name(found["millrace_resolution_stale"]) == {
        "good.test": 0,
        "held.test": 1,
        "gone.test": 0,
        "new.test": 0,
        "both.test": 0,
    }
    left = by_name(found["millrace_resolution_dropped_in_seconds"])
    assert 0 < left.pop("held.test") <= 50
    assert set(left.values()) == {math.inf}
    held = by_name(found["millrace_resolution_triggers_held_seconds"])
    assert 0 < held.pop("good.test") <= 600
    assert set(held.values()) == {0}


def test_a_name_past_its_hold_does_not_look_well(world: World) -> None:
    for index in range(5):
        world.nameservers.record(index, records_seen=2)
    found = scrape(world)
    samples = found["millrace_resolution_status"].samples
    assert {s.labels["name"]: s.labels["status"] for s in samples if s.value == 1} == {
        "good.test": "valid",
        "held.test": "nx",
        "gone.test": "nx",
        "new.test": "none",
        "both.test": "none",
    }
    assert by_name(found["millrace_resolution_records"]) == {
        "good.test": 2,
        "held.test": 2,
        "gone.test": 0,
        "new.test": 2,
        "both.test": 2,
    }


def test_a_merged_name_has_series_of_its_own(world: World) -> None:
    samples = scrape(world)["millrace_resolution_stale"].samples
    preferred = {sample.labels["name"]: sample.labels["preferred"] for sample in samples}
    assert (preferred["good.test"], preferred["both.test"]) == ("ipv4", "ipv6+ipv4")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_histograms_and_counters_parse_back(world: World, openmetrics: bool) -> None:
    found = scrape(world, openmetrics=openmetrics)
    runs = found["millrace_resolution_run_seconds"]
    assert runs.type == "histogram"
    of_first = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value
        for sample in runs.samples
        if sample.labels["resolver"] == "r1"
    }
    assert of_first["bucket", "0.001"] == 2
    assert of_first["bucket", "0.005"] == 3
    assert of_first["bucket", "5.0"] == 4
    assert of_first["bucket", "+Inf"] == of_first["count", None] == 5
    assert of_first["sum", None] == pytest.approx(105.002, abs=0.01)
    moves = found["millrace_connect_failure_to_new_address_seconds"]
    counts = {
        sample.labels["resolver"]: sample.value
        for sample in moves.samples
        if sample.name.endswith("_count")
    }
    assert counts == {"r1": 0, "r2": 1}
    for name, count in (("unusable_addresses", 5), ("doubted_questions", 6)):
        (family,) = [family for found_name, family in found.items() if name in found_name]
        values = {sample.labels["resolver"]: sample.value for sample in family.samples}
        assert values == {"r1": 0, "r2": count}
    unmatched = next(family for name, family in found.items() if "unmatched_packets" in name)
    assert {
        (sample.labels["resolver"], sample.labels["reason"]): sample.value
        for sample in unmatched.samples
    } == {("r1", "invalid"): 3, ("r1", "outdated"): 0, ("r2", "invalid"): 0, ("r2", "outdated"): 4}


def test_buckets_hold_what_their_bounds_say() -> None:
    assert len(RUN_BOUNDS_MS) == len(MOVE_BOUNDS_MS) == BUCKETS - 1
    assert [run_bucket(ms) for ms in (0, 1, 2, 3, 5_000, 5_001)] == [0, 0, 1, 2, 10, 11]
    assert [move_bucket(ms) for ms in (10, 11, 60_000, 60_001)] == [0, 1, 10, 11]


def test_histograms_are_apart_bounded_and_carried() -> None:
    segment = Segment.create(Shape(0, 0, 0, 1, 0, 0, 0, sections=2))
    other = Segment.create(Shape(0, 0, 0, 1, 0, 0, 0, sections=1), 2)
    reader, writer = HistogramReader(segment), HistogramWriter(segment)
    writer.observe(1, RUNS, 11, 7_000)
    writer.observe(1, MOVES, 0, 3)
    assert reader.words(0) == [0] * WORDS
    assert reader.histogram(1, RUNS) == ([0] * 11 + [1], 7_000)
    assert reader.histogram(1, MOVES) == ([1] + [0] * 11, 3)
    HistogramWriter(other).carry(0, reader.words(1))
    assert HistogramReader(other).histogram(0, RUNS) == ([0] * 11 + [1], 7_000)
    for section, which, bucket in ((2, RUNS, 0), (0, 2, 0), (0, RUNS, 12)):
        with pytest.raises(IndexError):
            writer.observe(section, which, bucket, 1)
    segment.close()
    other.close()


def test_the_alerts_speak_of_metrics_that_exist(world: World) -> None:
    answer = get(world, "prom", "/metrics")
    families = text_families(answer.text)
    names = {sample.name for family in families for sample in family.samples}
    names |= set(re.findall(r"^# TYPE (\w+)", answer.text, re.MULTILINE))
    alerts = Path(__file__).parent.parent.parent / "deploy" / "prometheus" / "alerts.yml"
    wanted = set(re.findall(r"\b(?:millrace|haproxy)_\w+", alerts.read_text()))
    assert len(wanted) >= 9
    kinds = ("kernel_", "listen_", "old_", "process_descriptors", "config_changed_")
    optional = tuple(f"millrace_{kind}" for kind in kinds)  # not everywhere, nor always
    assert {name for name in wanted if not name.startswith(optional)} <= names
