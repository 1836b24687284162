"""Servers that track another: what happens to them, and what is told of it, is HAProxy's."""

from __future__ import annotations

import csv
import io
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.health.agent_peers import NEUTRAL, Agent
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

CONFIGURATION = """
global
  stats socket {{folder}}/s level admin
  log {{log}} len 4096 local0
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout check 60s
  timeout client 5s
  timeout server 5s
  option httpchk
  http-check disable-on-404
frontend unused
  bind unix@{{folder}}/unused
backend base
  server s 127.0.0.1:{port} check inter 100ms fall 1 rise 1 {agent}
backend one
  server x 127.0.0.1:9 track base/s
  server y 127.0.0.1:9
backend two
  server x 127.0.0.1:9 track one/x
listen three
  bind unix@{{folder}}/three
  server x 127.0.0.1:9 track base/s backup
backend four
  server x 127.0.0.1:9 track base/s disabled
  server y 127.0.0.1:9 track base/s
"""
Word = str | bytes | int  # an order, a line of the agent, the status of a check's answer
STEPS: tuple[Word, ...] = (
    *(500, 404, 200, 404, "base/s state drain", "one/x state drain", "one/x state ready"),
    *(200, "base/s state ready", "base/s state drain", "one/x state drain"),
    *("base/s state ready", "one/x state ready", "base/s state maint", "one/x state maint"),
    *("one/x state ready", "three/x state drain", "base/s state drain", "base/s state ready"),
    *("three/x state ready", "one/x state maint", "base/s state maint", "base/s state ready"),
    *("one/x state ready", b"down\n", b"up\n", b"drain\n", b"ready\n", b"maint\n", b"ready\n"),
    *(b"drain maint\n", b"ready\n", "base/s weight 0", "one/x weight 0", "one/y state maint"),
    *("one/x weight 1", "base/s weight 1", 500, "two/x state drain", "one/x state maint", 200),
    *("two/x state ready", "one/x state ready", "four/x state ready", 500, 200),
)
CHANGES: tuple[Word, ...] = (
    *(500, 200, "base/s state maint", "base/s state ready", "one/x state drain"),
    *("one/x state ready", b"drain\n"),
)
# how long a check took; and whether its success or the agent's word came first and brought it up
VARYING = re.compile(
    r"(?<=check duration: )\d+ms|(?<=is UP, reason: Layer7 check passed, )"
    r'code: (200|0, info: "via agent : up")'
)
HEALTH = 3  # the place of srv_check_health among what is seen
UNTOUCHED = ("one", "y")  # its last change is the start of the program
GAP_SECONDS = 2  # what is shown is whole seconds of either end
Seen = tuple[list[str], dict[tuple[str, str], list[str]]]


class Site:
    """A program, the server that it checks, and the agent."""

    def __init__(self, made: OneProgram, agent: Agent, answers: dict[str, int]) -> None:
        self.made = made
        self.agent = agent
        self.answers = answers

    def act(self, word: Word) -> None:
        """Let something happen, and wait until it was seen."""
        if isinstance(word, str):
            self.made.ask(f"set server {word}")
        elif isinstance(word, bytes):
            self.agent.say_once({"s": word})
        else:
            self.answers["status"] = word
            status = {200: ("L7OK",), 404: ("L7OKC", "L7STS"), 500: ("L7STS",)}[word]
            wait_for(lambda: self.check_code() in status, PATIENCE_SECONDS, f"a check's {word}")

    def check_code(self) -> str:
        """How the last check of the tracked server ended."""
        cells = self.rows()["base", "s"]
        return cells["check_status"] if cells["check_code"] == str(self.answers["status"]) else ""

    def rows(self) -> dict[tuple[str, str], dict[str, str]]:
        shown = self.made.ask("show stat -1 4 -1").lstrip("# ").strip()
        return {(row["pxname"], row["svname"]): row for row in csv.DictReader(io.StringIO(shown))}

    def states(self) -> Iterator[dict[str, str]]:
        """`show servers state`, each row by column."""
        lines = self.made.ask("show servers state").strip().splitlines()
        names = lines[1][2:].split()
        for line in lines[2:]:
            yield dict(zip(names, line.split(), strict=True))

    def changes(self) -> list[dict[tuple[str, str], int]]:
        """When servers last changed, in seconds after the start, by each command that says it."""
        states = {
            (row["be_name"], row["srv_name"]): int(row["srv_time_since_last_change"])
            for row in self.states()
        }
        rows = self.rows()
        cells = {server: int(rows[server]["lastchg"]) for server in states}
        return [
            {server: shown[UNTOUCHED] - age for server, age in shown.items()}
            for shown in (states, cells)
        ]

    def clock(self) -> int:
        """Whole seconds since the start."""
        return int(self.rows()[UNTOUCHED]["lastchg"])

    def rested(self) -> int:
        """The clock, once it is well past all changes so far."""
        last = max(max(shown.values()) for shown in self.changes())
        wait_for(lambda: self.clock() >= last + GAP_SECONDS, PATIENCE_SECONDS, "a later second")
        return self.clock()

    def changed(self, since: int) -> list[set[tuple[str, str]]]:
        """The servers whose last change is not before that second."""
        return [{s for s, at in shown.items() if at >= since} for shown in self.changes()]

    def seen(self) -> Seen:
        """The lines of the log so far, and how all servers stand."""
        self.made.read_all()
        told = [
            f"{level} " + VARYING.sub("any", text.split(": ", 1)[1].strip())
            for level, text in self.made.lines
            if re.search(r" (Server|backend|proxy) ", text)
        ]
        found = {server: [row["status"]] for server, row in self.rows().items()}
        for row in self.states():
            columns = ("srv_op_state", "srv_admin_state", "srv_check_health", "srv_uweight")
            found[row["be_name"], row["srv_name"]] += [row[column] for column in columns]
        for states in found.values():
            if states[0].startswith("MAINT"):
                states[HEALTH] = "any"  # a check that was under way may still end
        return told, found

    def settled(self) -> Seen:
        """What is seen once it stays: another thread may be between a check and what it moves."""
        seen, before = self.seen(), None
        while seen != before:
            time.sleep(0.05)
            seen, before = self.seen(), seen
        return seen


@contextmanager
def site(program: str, folder: Path, *, asked: bool) -> Iterator[Site]:
    answers = {"status": 200}

    def answer(connection: socket.socket) -> None:
        connection.recv(1_000)
        connection.sendall(f"HTTP/1.0 {answers['status']} x\r\n\r\n".encode())

    with Agent() as agent, Server(answer) as server:
        said = rf'agent-check agent-port {agent.port} agent-inter 100ms agent-send "s\n"'
        text = CONFIGURATION.format(port=server.port, agent=said if asked else "")
        with one_program(PROGRAMS[program](), folder / program, text, {}) as made:
            found = Site(made, agent, answers)
            found.act(200)
            if asked:
                agent.say({"s": NEUTRAL})
            found.seen()
            made.lines.clear()
            yield found


@pytest.mark.parametrize("asked", [False, True])
def test_trackers_follow_and_it_is_told(tmp_path: Path, *, asked: bool) -> None:
    steps = [step for step in STEPS if asked or not isinstance(step, bytes)]
    wanted: list[Seen] = []
    with site("haproxy", tmp_path, asked=asked) as theirs:
        for step in steps:
            theirs.act(step)
            wanted.append(theirs.settled())
    with site("millrace", tmp_path, asked=asked) as ours:
        for step, seen in zip(steps, wanted, strict=True):
            ours.act(step)
            with suppress(pytest.fail.Exception):  # what differs is shown below
                wait_for(lambda: ours.seen() == seen, PATIENCE_SECONDS, f"{seen}")  # noqa: B023
            lines, states = ours.seen()
            assert (step, lines) == (step, seen[0])
            assert (step, states) == (step, seen[1])


def test_what_changes_the_tracked_server_is_a_change_of_those_that_track(tmp_path: Path) -> None:
    with (
        site("haproxy", tmp_path, asked=True) as theirs,
        site("millrace", tmp_path, asked=True) as ours,
    ):
        for step in CHANGES:
            theirs_since, ours_since = theirs.rested(), ours.rested()
            theirs.act(step)
            ours.act(step)
            theirs.settled()
            wanted = theirs.changed(theirs_since)
            with suppress(pytest.fail.Exception):  # what differs is shown below
                wait_for(
                    lambda: ours.changed(ours_since) == wanted,  # noqa: B023
                    PATIENCE_SECONDS,
                    f"{wanted}",
                )
            assert (step, ours.changed(ours_since)) == (step, wanted)
            assert wanted[0]
