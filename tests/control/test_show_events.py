"""`show events`: who ordered what, what it was before; followed live, since a time, as JSON."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from proxy.config.model.settings import Balancing, Origin, Proxy
from proxy.control.caller import client_name
from proxy.control.commands.events.show_events import DAY_SECONDS, EventReader, moment_of
from shm.events import EVENTS_MAX, EventRing
from shm.log_level import LogLevel
from tests.support.common import require_program
from tests.support.control.site import World, a_server, ask, control_world, haproxy
from tests.support.torn_events import tear

ME = f"uid {os.getuid()} (pid {os.getpid()})"
STAMP = r"<5>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d "
PAIR = "defaults\n  mode tcp\nlisten f\n  bind abns@millrace-events\n"


@pytest.fixture
def world() -> Iterator[World]:
    servers = (a_server("s1", "127.78.5.1", 80, balancing=Balancing(10)),)
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        yield made


def events(world: World, more: str = "") -> list[str]:
    """The texts of all events."""
    lines = world.ask(f"show events state {more}").splitlines()
    assert lines.pop() == ""
    assert all(re.match(STAMP, line) for line in lines), lines
    return [re.sub(STAMP, "", line) for line in lines]


def test_an_order_names_its_client_and_what_it_changed(world: World) -> None:
    world.ask("set weight be/s1 20")
    world.ask("set server be/s1 state drain; set maxconn server be/s1 7")
    world.ask("set server be/s1 addr 127.78.5.9; set server be/s1 addr 127.78.5.8 port 81")
    assert [each for each in events(world) if each.startswith("order")] == [
        f"order of {ME}: set weight be/s1 20 [weight 10 -> 20]",
        f"order of {ME}: set server be/s1 state drain [state ready -> drain]",
        f"order of {ME}: set maxconn server be/s1 7 [maxconn 0 -> 7]",
        f"order of {ME}: set server be/s1 addr 127.78.5.9 [address 127.78.5.1:80 -> 127.78.5.9:80]",
        f"order of {ME}: set server be/s1 addr 127.78.5.8 port 81"
        " [address 127.78.5.9:80 -> 127.78.5.8:81]",
    ]


def test_what_was_refused_or_only_asked_is_no_event(world: World) -> None:
    world.ask("set weight be/none 20; set weight be/s1 300; show info; get weight be/s1; operator")
    world.ask("set weight be/s1 20", "operator")
    world.ask("clear table be; show sess; set severity-output number")
    assert events(world) == []
    world.ask("set weight be/s1 10")  # obeyed, though it has changed nothing
    assert events(world) == [f"order of {ME}: set weight be/s1 10"]


def test_a_client_follows_until_it_sends_anything(world: World) -> None:
    world.ask("set weight be/s1 20")
    with world.connect() as client:
        client.sendall(b"show events state -wn\n")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)  # what is older is not shown, and the answer does not end
        client.settimeout(30)
        world.ask("set weight be/s1 30")
        assert b"set weight be/s1 30 [weight 20 -> 30]\n" in client.recv(4_096)
        client.sendall(b"\n")
        assert client.recv(4_096) == b"\n"
        assert client.recv(4_096) == b""


def test_who_follows_and_leaves_or_is_wanted_away_holds_no_place(world: World) -> None:
    followers = [world.connect() for _ in range(64)]
    for client in followers:
        client.sendall(b"show events state -w\n")
    assert "Uptime" in world.ask("show info")  # one of them is put out
    for client in followers:
        client.close()
    assert "Uptime" in world.ask("show info")


def test_since_and_json(world: World) -> None:
    ring, now = world.runtime.events, time.time()
    for age, text in ((7_200, "long ago"), (60, "lately")):
        ring.write(int((now - age) * 1_000_000), LogLevel.NOTICE, text)
    assert events(world) == ["long ago", "lately"]
    assert events(world, "since 10m") == ["lately"]
    moment = datetime.fromtimestamp(now - 3_600).astimezone()
    assert events(world, f"since {moment:%Y-%m-%dT%H:%M:%S}") == ["lately"]
    shown = json.loads(world.ask("show events state json since 10m"))
    assert shown == [
        {"sequence": 2, "time": pytest.approx(now - 60), "level": "notice", "text": "lately"}
    ]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("state -x", "unknown option\n\n"),
        ("nope", "No such event sink\n\n"),
        ("since 10m", "No such event sink: write 'show events state since 10m'\n\n"),
        ("-w", "No such event sink: write 'show events state -w'\n\n"),
        ("state json -w", "'json' is one array: it cannot be followed by more (-w).\n\n"),
        ("state since", "'since' expects an age (15m), a time of day (03:12), a date or both"),
        ("state since 25:00", "'since' expects an age"),
        ("state since 99999-01-01T00:00", "'since' expects an age"),
    ],
)
def test_wrong_words(world: World, words: str, answer: str) -> None:
    assert world.ask(f"show events {words}").startswith(answer)


def test_a_time_of_day_is_the_last_one() -> None:
    noon = datetime(2026, 1, 31, 12).astimezone().timestamp()
    assert moment_of("11:59", noon) == noon - 60
    assert moment_of("12:01:00", noon) == noon + 60 - DAY_SECONDS
    assert moment_of("90", noon) == noon - 90
    assert moment_of("2026-01-31", noon) == noon - DAY_SECONDS / 2
    assert moment_of("2026-01-31 11:59", noon) == moment_of("2026-01-31T11:59", noon) == noon - 60


def test_a_reader_waits_once_for_all_that_is_not_written_yet() -> None:
    ring = EventRing()
    reader = EventReader(ring)
    for text in ("one", "this is gone", "three", "this is lost", "five"):
        ring.write(1, LogLevel.NOTICE, text)
    tear("this is gone")
    tear("this is lost")
    assert [event.text for event in reader.events()] == ["one"]
    assert [event.text for event in reader.events()] == ["three", "five"]
    for number in range(EVENTS_MAX + 5):
        ring.write(number, LogLevel.NOTICE, str(number))
    assert len(list(reader.events())) == EVENTS_MAX
    assert list(reader.events()) == []


def test_the_same_words_as_haproxy(world: World, tmp_path: Path) -> None:
    require_program("haproxy")
    with haproxy(PAIR, tmp_path) as path:
        for command in ("show events nope", "show events buf0 -x"):
            ours = command.replace("buf0", "state")
            assert world.ask(ours).strip() == ask(path, command).strip()
        mine, theirs = world.ask("show events"), ask(path, "show events")
        assert mine.splitlines()[0] == theirs.splitlines()[0]
        form = r"    \w+ +: type=\w+, 0 dropped, .+"
        assert all(re.fullmatch(form, line) for line in mine.splitlines()[1:-1])
        assert all(re.fullmatch(form, line) for line in theirs.splitlines()[1:-1])


def test_a_client_by_tcp_is_named_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        taken, peer = listening.accept()
        with client, taken:
            assert client_name(taken) == f"127.0.0.1:{peer[1]}"
            assert client.getsockname() == peer
