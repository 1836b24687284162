"""`show why` of servers that track, that have an agent, and that errors of sessions took down."""

from __future__ import annotations

import csv
import io
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.health.agent_peers import NEUTRAL, Agent
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.servers import Server, silent_port

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  max-spread-checks 100ms
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
backend mysql
  server m1 127.0.0.1:{port} check inter 100ms {agent} agent-send "m1\\n"
  server m2 127.0.0.1:{port} weight 50 check inter 100ms {agent} agent-send "m2\\n"
backend trackers
  server t1 127.0.0.1:7001 track mysql/m1
  server t2 127.0.0.1:7001 track mysql/m2
  server t3 127.0.0.1:7001 track trackers/t1
backend said
  option httpchk
  server no 127.0.0.1:{answering} check inter 100ms fall 1
  server mute 127.0.0.1:{mute} check inter 100ms fall 1
listen seen
  bind unix@{{folder}}/seen
  retries 0
  server o 127.0.0.1:{silent} check port {port} inter 60s observe layer4 error-limit 2 {marked}
"""
GOOD = "UP since then, 4 of 4 in its favour, last check L4OK then"


class Why:
    """A program, the agent of its servers, and what it says of them."""

    def __init__(self, made: OneProgram, agent: Agent) -> None:
        self.made = made
        self.agent = agent

    def raw(self, server: str) -> dict[str, str]:
        """Text by link, the verdict under ""; of repeated links the first."""
        verdict, *lines = self.made.ask(f"show why {server}").strip().splitlines()
        found = {"": verdict.removeprefix(f"{server} ")}
        for line in lines:
            link, _, text = line.partition(" : ")
            found.setdefault(link.strip(), text)
        return found

    def of(self, server: str) -> dict[str, str]:
        """The same without what no two moments share."""
        found = self.raw(server).items()
        return {link: re.sub(r"[\d.]+ s ago", "then", text) for link, text in found}

    def order(self, *orders: str) -> None:
        for order in orders:
            assert self.made.ask(f"set server {order}").strip() == ""

    def verdict(self, server: str, wanted: str) -> None:
        """Wait for a verdict: a worker obeys agents and orders about health."""
        with suppress(pytest.fail.Exception):  # what differs is shown below
            wait_for(lambda: self.of(server)[""] == wanted, PATIENCE_SECONDS, wanted)
        assert self.of(server)[""] == wanted


def _refuse(client: socket.socket) -> None:
    client.recv(4_096)
    client.sendall(b"HTTP/1.0 500 Internal Server Error\r\n\r\n")


def _keep(client: socket.socket) -> None:
    with suppress(OSError):
        while client.recv(4_096):
            pass


@pytest.fixture(scope="module")
def why(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Why]:
    folder = tmp_path_factory.mktemp("why") / "program"
    with (
        Agent() as agent,
        Server(lambda _: None) as server,
        Server(_refuse) as refusing,
        Server(_keep) as mute,
        silent_port() as silent,
    ):
        asked = f"agent-check agent-port {agent.port} agent-inter 100ms"
        text = CONFIGURATION.format(
            port=server.port,
            agent=asked,
            silent=silent,
            marked="on-error mark-down",
            answering=refusing.port,
            mute=mute.port,
        )
        with one_program((sys.executable, "-m", "proxy"), folder, text, {}) as made:
            found = Why(made, agent)
            for name in ("mysql/m1", "mysql/m2"):
                wait_for(lambda: found.of(name)["health"] == GOOD, PATIENCE_SECONDS, name)  # noqa: B023
            yield found


def test_maintenance_of_the_tracked_server_is_the_reason(why: Why) -> None:
    why.order("mysql/m1 state maint", "mysql/m2 state maint")
    refused, because = "takes no new sessions: it is in maintenance", "which it tracks"
    assert why.of("trackers/t1")[""] == f"{refused}, because mysql/m1 is, {because}."
    seen = why.of("trackers/t2")
    assert seen[""] == f"{refused}, because mysql/m2 is, {because}."
    assert seen["tracks"] == (
        "mysql/m2, which takes no new sessions: the operator has put it into maintenance"
    )
    assert seen["operator"] == "no order"
    unchecked = "not checked in maintenance, last check L4OK then"
    assert seen["health"] == f"of mysql/m2, which it tracks: {unchecked}"
    through = f"{refused}, because mysql/m1 is, {because} through trackers/t1."
    assert why.of("trackers/t3")[""] == through
    why.order("trackers/t1 state maint")
    assert why.of("trackers/t3")[""] == f"{refused}, because trackers/t1 is, {because}."
    why.order("mysql/m1 state ready", "trackers/t1 state ready", "mysql/m2 state ready")


def test_drain_is_its_agents_or_the_operators(why: Why) -> None:
    why.agent.say_once({"m2": b"drain 50%\n"})
    drained = "takes no new sessions: it is drained, because mysql/m2 is, which it tracks."
    why.verdict("trackers/t2", drained)
    seen = why.of("mysql/m2")
    assert seen[""] == "takes no new sessions: its agent drains it."
    assert seen["operator"] == "no order"
    assert seen["agent"].startswith("drain, weight 25; last check ")
    assert why.of("trackers/t2")["tracks"].endswith("its agent drains it")
    why.order("mysql/m2 weight 40")
    assert why.of("mysql/m2")["operator"] == "weight 40"
    assert why.of("mysql/m2")["agent"].startswith("drain; last check ")
    why.order("mysql/m2 state ready", "mysql/m2 state drain")
    seen = why.of("mysql/m2")
    assert seen[""] == "takes no new sessions: the operator drains it."
    assert seen["operator"] == "drain, last then; weight 40"
    assert seen["agent"].startswith("no word; last check ")
    assert why.of("trackers/t2")[""] == drained
    why.order("mysql/m2 state ready")
    assert why.of("trackers/t2")[""] == "takes new sessions."


def test_down_by_an_agent_names_it_and_its_text(why: Why) -> None:
    assert why.of("trackers/t3")["health"] == (
        f"of trackers/t1, which it tracks: of mysql/m1, which it tracks: {GOOD}"
    )
    why.agent.say({"m1": b"down #full disk\n"})
    why.verdict("mysql/m1", "takes no new sessions: it is DOWN by its agent.")
    seen = why.of("mysql/m1")
    passing = "4 of 4 in its favour, last check L4OK then"
    assert seen["health"] == f"DOWN since then by its agent; {passing}"
    via = "Layer7 wrong status: via agent : down (full disk)"
    assert seen["agent"] == f"DOWN; last check L7STS ({via}) then"
    because = "because mysql/m1 is, which it tracks through trackers/t1"
    assert why.of("trackers/t3")[""] == f"takes no new sessions: it is DOWN, {because}."
    why.agent.say({"m1": NEUTRAL})
    why.order("mysql/m1 agent up")
    why.verdict("mysql/m1", "takes new sessions.")
    why.order("mysql/m1 agent down")
    ordered = "DOWN by the operator's order to its agent"
    why.verdict("mysql/m1", f"takes no new sessions: it is {ordered}.")
    seen = why.of("mysql/m1")
    assert seen["health"] == f"DOWN since then by the operator's order to its agent; {passing}"
    assert seen["agent"].startswith("DOWN by the operator; last check ")
    why.order("mysql/m1 agent up")
    why.verdict("trackers/t3", "takes new sessions.")


@pytest.mark.parametrize(
    ("name", "told"),
    [("no", ["Layer7 wrong status", "Internal Server Error"]), ("mute", ["Layer7 timeout"])],
)
def test_a_server_that_is_down_has_what_show_stat_has_of_its_last_check(
    why: Why, name: str, told: list[str]
) -> None:
    why.verdict(f"said/{name}", "takes no new sessions: it is DOWN.")

    def row() -> dict[str, str] | None:
        """Of a moment without a check under way: that hides what the last was told."""
        text = why.made.ask("show stat said 4 -1").removeprefix("# ")
        (found,) = (each for each in csv.DictReader(io.StringIO(text)) if each["svname"] == name)
        return None if found["check_status"].startswith("*") else found

    found = wait_for(row, PATIENCE_SECONDS, "no check is under way")
    assert [text for text in (found["check_desc"], found["last_chk"]) if text] == told
    ended = f"last check {found['check_status']} ({': '.join(told)}) then"
    assert why.of(f"said/{name}")["health"].endswith(ended)


def test_errors_of_sessions_are_as_old_as_the_state_that_they_explain(why: Why) -> None:
    def down() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(why.made.folder / "seen"))
            assert client.recv(1) == b""
        return why.of("seen/o")[""] == "takes no new sessions: it is DOWN."

    checked = lambda: "last check L4OK" in why.of("seen/o")["health"]  # noqa: E731
    wait_for(checked, PATIENCE_SECONDS, "the first check")
    wait_for(down, PATIENCE_SECONDS, "too many errors")
    told = re.fullmatch(
        r"DOWN since ([\d.]+) s ago, 0 of 4 in its favour, last check HANA "
        r"\(Health analyze: Detected 2 consecutive errors, .*\) ([\d.]+) s ago",
        why.raw("seen/o")["health"],
    )
    assert told is not None
    assert told[1] == told[2]
