"""/metrics: names, types and labels beside HAProxy's exporter, and what ours adds."""

from __future__ import annotations

import asyncio
import http.client
import math
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from proxy.config.model.settings import Agent, Origin, Proxy
from proxy.control.http.services import HttpServices
from proxy.control.metrics.families import OPENMETRICS, TEXT, MetricFamily, labels_of, render
from proxy.control.metrics.own import OwnMetrics
from proxy.control.metrics.scrape import ScrapeError, parse_query
from proxy.control.places import Client
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.control.turns import Turns
from proxy.runtime import now_ms
from shm.agents import AgentWriter
from shm.states import AgentState
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.control.http import get
from tests.support.control.pair import Pair, pair, slot_of
from tests.support.control.sections import METRICS as SECTION
from tests.support.control.site import World, a_server, control_world

# there is no TLS, no compression, no cache and no rate of requests to report
ELSEWHERE = ("ssl", "zlib", "comp", "cache", "requests_rate", "http_requests_rate")
UNLIKE = {"haproxy_process_failed_resolutions"}  # a counter there, without a counter's name


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


def theirs(made: Pair, query: str = "") -> dict[str, Metric]:
    url = f"http://127.78.1.1:{made.service_port}/metrics{query}"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
        return {family.name: family for family in text_families(response.read().decode())}


def ours(made: Pair, query: str = "") -> dict[str, Metric]:
    answer = get(made.world, "prom", f"/metrics{query}")
    assert answer.status == 200
    return {family.name: family for family in text_families(answer.text)}


@pytest.mark.slow
def test_every_name_of_haproxy_is_here_with_its_type(both: Pair) -> None:
    mine = ours(both)
    wrong = [
        f"{name} ({family.type})"
        for name, family in theirs(both).items()
        if not any(word in name for word in ELSEWHERE)
        and name not in UNLIKE
        and (name not in mine or mine[name].type != family.type)
    ]
    assert wrong == []


@pytest.mark.slow
def test_series_have_haproxys_labels_and_are_missing_where_haproxys_are(both: Pair) -> None:
    mine = ours(both)
    wrong = []
    for name, family in theirs(both).items():
        if name not in mine or name.startswith("haproxy_process"):
            continue
        wanted = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in family.samples}
        found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in mine[name].samples}
        wrong += [f"{key} only in HAProxy" for key in wanted.keys() - found.keys()]
        wrong += [f"{key} only in Millrace" for key in found.keys() - wanted.keys()]
        wrong += [
            f"{key}: HAProxy {wanted[key]}, Millrace {found[key]}"
            for key in wanted.keys() & found.keys()
            if math.isnan(wanted[key]) != math.isnan(found[key])
        ]
    assert wrong == []


@pytest.mark.slow
def test_states_and_weights_are_haproxys(both: Pair) -> None:
    both.both("set server l1/a state drain")
    wanted, found = theirs(both), ours(both)
    for name in (
        "haproxy_server_status", "haproxy_server_check_status", "haproxy_server_weight",
        "haproxy_backend_status", "haproxy_backend_active_servers", "haproxy_backend_weight",
        "haproxy_backend_agg_server_status", "haproxy_frontend_status",
        "haproxy_frontend_limit_sessions", "haproxy_backend_limit_sessions",
        "haproxy_server_limit_sessions", "haproxy_server_last_session_seconds",
    ):  # fmt: skip
        both_sides = [
            sorted(
                (tuple(sorted(s.labels.items())), str(float(s.value)))
                for s in side[name].samples
                # HAProxy 2.6 counts what `disabled` took out as up
                if s.labels.get("server") not in ("d", "e") and "agg" not in name
            )
            for side in (wanted, found)
        ]
        assert both_sides[0] == both_sides[1], name
    both.both("set server l1/a state ready")


@pytest.mark.slow
def test_no_maint_leaves_out_servers_in_maintenance(both: Pair) -> None:
    names = {s.labels["server"] for s in ours(both, "?no-maint")["haproxy_server_status"].samples}
    assert names == {"a", "b", "c", "up1", "six"}


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["global", "frontend", "backend", "server", "resolver"])
def test_a_scope_has_its_families_and_no_others(both: Pair, scope: str) -> None:
    prefix = {"global": "process"}.get(scope, scope)
    names = set(ours(both, f"?scope={scope}"))
    assert names
    assert all(name.startswith(f"haproxy_{prefix}_") for name in names)


@pytest.mark.slow
def test_scopes_add_up_and_an_empty_or_foreign_one_is_nothing(both: Pair) -> None:
    names = set(ours(both, "?scope=global&scope=server"))
    assert {name.split("_")[1] for name in names} == {"process", "server"}
    assert ours(both, "?scope=") == {}
    assert ours(both, "?scope=sticktable") == {}
    assert set(ours(both, "?scope=*")) == set(ours(both))


@pytest.mark.slow
def test_metrics_can_be_chosen_or_left_out_by_name(both: Pair) -> None:
    assert set(ours(both, "?metrics=haproxy_server_status")) == {"haproxy_server_status"}
    without = ours(both, "?metrics=-haproxy_server_status")
    assert "haproxy_server_status" not in without
    assert "haproxy_server_weight" in without


@pytest.mark.slow
def test_openmetrics_is_given_to_who_asks_for_it_and_parses(both: Pair) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = get(both.world, "prom", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert answer.text.count("# EOF") == 1
    families = {family.name for family in openmetrics_families(answer.text)}
    assert {"haproxy_server_bytes_in", "millrace_table_generation"} <= families


@pytest.mark.slow
def test_counters_and_resolutions_come_from_the_segment(both: Pair) -> None:
    world = both.world
    world.nameservers.count(0, "nx", 3)
    world.nameservers.record(0, records_seen=9, slots_used=3, slots_missing=6, runs=4, returns=5)
    slot = slot_of(world, "l1/a")
    world.carried.server(slot, {**world.server_counters(slot), "bytes_in": 77})
    found = ours(both)

    def value(metric: str, **labels: str) -> float:
        [only] = [
            s.value
            for s in found[metric].samples
            if all(s.labels.get(key) == wanted for key, wanted in labels.items())
        ]
        return only

    assert value("haproxy_resolver_nx", nameserver="ns1", resolver="r1") == 3
    assert value("millrace_resolution_records", name="nope.example") == 9
    assert value("millrace_resolution_slots_missing", name="nope.example") == 6
    assert value("millrace_resolution_runs", name="nope.example") == 4
    assert value("millrace_resolution_returns", name="nope.example") == 5
    assert value("haproxy_server_bytes_in", proxy="l1", server="a") == 77
    assert value("millrace_table_generation") == world.segment.table_generation
    assert value("millrace_scrape_failures") == 0


def test_a_scrape_that_fails_is_cut_short_logged_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(_: OwnMetrics) -> Iterator[MetricFamily]:
        raise RuntimeError("made by the test")

    monkeypatch.setattr(OwnMetrics, "workers", failing)
    proxies = [Proxy("m", 2, "frontend", Origin(), http=SECTION)]
    with control_world(proxies) as world:
        with pytest.raises(http.client.IncompleteRead):
            get(world, "m", "/metrics")
        wait_for(lambda: "made by the test" in world.logged(), 5, "the failure is logged")
        assert get(world, "m", "/metrics?scope=global").status == 200
        monkeypatch.undo()
        world.kill()
        world.board.ended(world.segment.shape.control_process)
        world.start()
        text = get(world, "m", "/metrics").text
    assert "\nmillrace_scrape_failures_total 0\n" in text
    assert "\nmillrace_scrapes_total 1\n" in text


def test_agents_have_rows_with_the_names_of_later_haproxys() -> None:
    """HAProxy 2.6 has none, so there is nothing to compare with."""
    agent = Agent(7, None, 2_000)
    servers = (a_server("s1", "127.78.5.1", 80, agent=agent), a_server("s2", "127.78.5.2", 80))
    backend = Proxy("be", 2, "backend", Origin(), servers=servers)
    with control_world([backend, Proxy("m", 3, "frontend", Origin(), http=SECTION)]) as world:
        said = AgentState(status=17, code=0, duration_us=3_000, checked_ms=9, down=True)
        AgentWriter(world.segment).publish(0, said, changed=True)

        def rows() -> list[str]:
            lines = get(world, "m", "/metrics").text.splitlines()
            return [line for line in lines if line.startswith("haproxy_server_agent_")]

        where = 'proxy="be",server="s1"'
        assert f'haproxy_server_agent_status{{{where},state="L7STS"}} 1' in rows()
        assert f'haproxy_server_agent_status{{{where},state="L7OK"}} 0' in rows()
        assert f"haproxy_server_agent_code{{{where}}} 0" in rows()
        assert f"haproxy_server_agent_duration_seconds{{{where}}} 0.003" in rows()
        assert all(where in row for row in rows())
        world.ask("disable agent be/s1")
        assert rows() == []


def test_failures_of_scrapes_are_counted() -> None:
    world = World([Proxy("m", 2, "frontend", Origin(), http=SECTION)])
    try:
        report = Report(world.runtime, Monitor(world.runtime, now_ms()))
        services = HttpServices(report, Turns())
        services.report = None  # so that each scrape fails

        async def scrape() -> None:
            async for _ in services.scrape(parse_query(""), TEXT, Client()):
                pass

        with pytest.raises(AttributeError):
            asyncio.run(scrape())
        assert (services.own.scrapes, services.own.failures) == (1, 1)
    finally:
        world.close()


def test_a_large_family_is_rendered_in_parts_with_one_head() -> None:
    samples = [(labels_of(n=str(number)), number) for number in range(4_500)]
    for exposition in (TEXT, OPENMETRICS):
        parts = list(render(MetricFamily("x_total", True, "help", samples), exposition))
        whole = b"".join(parts).decode()
        assert len(parts) == 3
        assert whole.count("# TYPE") == 1
        assert whole.count("\nx_total{") == 4_500
        assert "# EOF" not in whole


def test_a_label_is_escaped() -> None:
    [part] = render(MetricFamily("x", False, "help", [(labels_of(n='a"\\\n'), 1)]), TEXT)
    [family] = text_families(part.decode())
    assert family.samples[0].labels == {"n": 'a"\\\n'}


def test_an_unknown_scope_is_an_error() -> None:
    with pytest.raises(ScrapeError):
        parse_query("scope=nonsense")
    assert parse_query("no-maint").no_maint
    assert not parse_query("").no_maint
