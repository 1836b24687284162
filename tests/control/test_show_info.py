"""`show info` in its four forms, and the numbers that it takes from the segment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from proxy.config.model.settings import Global, Origin, Proxy
from proxy.control.commands.show_info import FIELDS, Info, uptime_text
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from shm.states import ProcessCommand
from tests.support.common import wait_for
from tests.support.control.pair import Pair, pair
from tests.support.control.site import World, a_server, ask, control_world

LEFT_OUT = ("DebugCommands", "Tainted")
OWN = ["OldGenerations", "OldConns"]  # behind all of HAProxy's
RENAMED = {"TotalSplicdedBytesOut": "TotalSplicedBytesOut"}  # spelled right since 2.8


@pytest.fixture
def world() -> Iterator[World]:
    proxies = [
        Proxy("be", 2, "backend", Origin(), servers=(a_server("s1", "127.78.8.1", 80),)),
        Proxy("fe", 3, "frontend", Origin(), default_backend=0, maxconn=301),
    ]
    settings = Global(
        maxconn=1_000, connection_rate=40, session_rate=50, node="here", description="a test"
    )
    with control_world(proxies, globals_=settings, workers=3) as made:
        yield made


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


def values(answer: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in answer.splitlines() if line)


def test_the_time_of_the_start_stays_whatever_the_wall_clock_says_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_s = int(time.time())
    world = World([Proxy("be", 2, "backend", Origin())])
    try:
        after_s = int(time.time())
        report = Report(world.runtime, Monitor(world.runtime, now_ms()))
        said = Info(report).values()["Start_time_sec"]
        assert before_s <= int(said) <= after_s
        ahead_s = time.time() + 3_600
        monkeypatch.setattr(time, "time", lambda: ahead_s)  # the clock was set
        assert Info(report).values()["Start_time_sec"] == said
    finally:
        world.close()


@pytest.mark.slow
def test_every_field_of_haproxy_is_here_in_its_order(both: Pair) -> None:
    theirs, ours = (list(values(answer)) for answer in both.both("show info"))
    wanted = [
        RENAMED.get(name, name) for name in theirs if not any(word in name for word in LEFT_OUT)
    ]
    assert ours == [*(name for name in wanted if name in ours), *OWN]
    assert set(wanted) - set(ours) == {"description"} & set(wanted)


@pytest.mark.slow
def test_numbers_and_tags_of_the_typed_form_are_haproxys(both: Pair) -> None:
    def heads(answer: str) -> set[str]:
        found = set()
        for line in answer.splitlines():
            if line:
                number, name, rest = line.split(".", 2)
                found.add(":".join((number, RENAMED.get(name, name), *rest.split(":")[1:3])))
        return found

    theirs, ours = (heads(answer) for answer in both.both("show info typed"))
    assert ours - theirs == {"1000:OldGenerations:MGP:u32", "1001:OldConns:MGP:u32"}


def test_settings_and_counters_are_reported(world: World) -> None:
    world.carried.worker({**world.worker_counters(), "accepts": 7, "bytes_out": 99})
    shown = values(world.ask("show info"))
    assert shown["Nbthread"] == "3"
    assert shown["node"] == "here"
    assert shown["description"] == "a test"
    assert shown["Maxconn"] == "1000"
    assert (shown["ConnRateLimit"], shown["SessRateLimit"]) == ("40", "50")
    assert shown["Pid"] == str(os.getpid())
    assert (shown["CumConns"], shown["TotalBytesOut"]) == ("7", "99")
    assert shown["Stopping"] == "0"


def test_stopping_is_said_once_a_worker_was_told(world: World) -> None:
    world.board.command(1, ProcessCommand.SOFT_STOP)
    assert values(world.ask("show info"))["Stopping"] == "1"
    row = world.ask("show stat fe 1 -1").splitlines()[1].split(",")
    assert row[17] == "STOP"


@pytest.mark.slow
def test_rates_come_from_control_itself(world: World) -> None:
    def rate() -> int:
        return int(values(world.ask("show info"))["ConnRate"])

    world.carried.worker({**world.worker_counters(), "accepts": 500})
    wait_for(lambda: rate() > 0, 5, "the next tick")
    assert rate() <= 500
    wait_for(lambda: rate() == 0, 5, "a quiet second")
    assert int(values(world.ask("show info"))["MaxConnRate"]) > 0


def test_what_a_reload_brings_while_control_waits_at_the_gate_is_no_rate(world: World) -> None:
    monitor = Monitor(world.runtime, 1_000)
    world.carried.worker({**world.worker_counters(), "accepts": 500})
    world.carried.server(0, {**world.server_counters(0), "sessions_total": 500})
    monitor.begin(2_000)
    monitor.tick(3_000)
    assert monitor.process.accepts.current == 0
    assert monitor.meters.server(0).rate == 0


def test_every_form_has_the_same_values(world: World) -> None:
    plain = values(world.ask("show info"))
    described = values(world.ask("show info desc"))
    assert described["Nbthread"] == '3:"number of workers (nbthread)"'
    typed = [line for line in world.ask("show info typed").splitlines() if line]
    assert "3.Nbthread.1:CGS:u32:3" in typed
    assert len(typed) == len(plain)
    fields = json.loads(world.ask("show info json"))
    assert [field["field"]["name"] for field in fields] == list(plain)
    assert list(plain) == [field.name for field in FIELDS if field.name in plain]


def test_uptime_reads_in_days_hours_minutes_and_seconds() -> None:
    assert uptime_text(0) == "0d 0h00m00s"
    assert uptime_text(90_061) == "1d 1h01m01s"


def test_the_version_is_one_line(world: World) -> None:
    assert ask(world.folder / "user", "show version").count("\n") == 2
