"""Each of the six `hold` periods, seen on servers that the whole program runs.

One program with a resolvers section, a nameserver and a backend for each period. The one that a
section is about is short, all others are long, so a status taken for another one shows. `since` is
when the nameserver was asked for the last time that it answered well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import (
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    Answer,
    ScriptedNameserver,
    records,
)
from tests.support.program.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.quiet]

KINDS = ("nx", "refused", "timeout", "other", "obsolete", "valid")
HOLD_S = 1.5
# two attempts and the pause before the next run, then what a crowded machine needs
ROUND_S = 3 * 0.2
SLACK_S = 0.5
ONE, TWO = "127.0.1.1", "127.0.1.2"

SECTION = """
resolvers {kind}
    nameserver ns1 {nameserver}
    resolve_retries 2
    timeout resolve {resolve}
    timeout retry 200ms
{holds}
backend {kind}
    server-template s 2 {kind}.mission.test:{port} resolvers {kind} resolve-prefer ipv4 init-addr none {check}
"""
HEAD = """
global
    nbthread 1
    stats socket {socket} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 600s
    timeout server 600s
frontend f
    bind 127.0.0.1:%d
    default_backend nx
"""


@dataclass
class Site:
    """The running program and the nameserver of each section."""

    program: Program
    nameservers: dict[str, ScriptedNameserver]

    def say(self, kind: str, answer: Answer) -> float:
        """From now on this is the answer; when the nameserver was asked last before it."""
        nameserver = self.nameservers[kind]
        asked = nameserver.queries[-1].at
        nameserver.set(f"{kind}.mission.test", "*", answer)
        return asked

    def addresses(self, kind: str) -> set[str]:
        return {row["srv_addr"] for row in self.program.servers(kind).values()}

    def lost(self, kind: str, left: set[str], since: float) -> float:
        """Wait until the backend has these addresses; seconds from the last good answer."""
        wait_for(lambda: self.addresses(kind) == left, 20.0, f"hold {kind} on its servers")
        return time.monotonic() - since


def section(kind: str, nameserver: ScriptedNameserver, port: int) -> str:
    holds = dict.fromkeys(KINDS, "1h") | {kind: f"{round(HOLD_S * 1000)}ms"}
    checked = kind == "valid"
    if checked:
        holds["obsolete"] = "0"
    return SECTION.format(
        kind=kind,
        nameserver=nameserver.address,
        holds="\n".join(f"    hold {each} {period}" for each, period in holds.items()),
        resolve="1h" if checked else "200ms",
        check="check inter 100ms" if checked else "",
        port=port,
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    refusing = free_port()
    with ExitStack() as stack:
        nameservers = {kind: stack.enter_context(ScriptedNameserver()) for kind in KINDS}
        for kind, nameserver in nameservers.items():
            nameserver.set(f"{kind}.mission.test", "*", records(ONE, TWO))
        sections = [section(kind, each, refusing) for kind, each in nameservers.items()]
        text = HEAD % free_port() + "".join(sections)
        made = Site(stack.enter_context(Program(tmp_path, text)), nameservers)
        for kind in KINDS:
            wait_for(lambda kind=kind: made.addresses(kind) == {ONE, TWO}, 20.0, "addresses")
        yield made


def test_each_hold_keeps_servers_for_its_own_time(site: Site) -> None:
    errors = {"nx": NX, "refused": REFUSED, "timeout": SILENT, "other": SERVFAIL}
    # all at once, each seen at its own time
    since = {kind: site.say(kind, error) for kind, error in errors.items()}
    since["obsolete"] = site.say("obsolete", records(TWO))
    for kind, begun in since.items():
        left = {"-", TWO} if kind == "obsolete" else {"-"}
        gone = site.lost(kind, left, begun)
        assert gone + 0.05 >= HOLD_S, f"hold {kind} was cut short: {gone:.2f} s"
        assert gone <= HOLD_S + ROUND_S + SLACK_S, f"hold {kind} lasted {gone:.2f} s"
    for kind in errors:
        rows = site.program.servers(kind).values()
        assert {(row["srv_op_state"], row["srv_admin_state"]) for row in rows} == {("0", "32")}
        assert len({row["srv_port"] for row in rows} - {"0"}) == 1, "the port is kept"
        site.say(kind, records(ONE, TWO))
        wait_for(lambda kind=kind: site.addresses(kind) == {ONE, TWO}, 5.0, f"{kind} is back")


def test_hold_valid_is_how_long_a_refused_check_waits_for_the_next_question(site: Site) -> None:
    nameserver = site.nameservers["valid"]
    first = nameserver.wait_queries(1)[0].at
    nameserver.set("valid.mission.test", "*", records(TWO))
    again = nameserver.wait_queries(2, seconds=10)[1].at - first
    assert again + 0.05 >= HOLD_S, f"hold valid was cut short: {again:.2f} s"
    assert again <= HOLD_S + SLACK_S + 0.2, f"no question for {again:.2f} s"
    wait_for(lambda: site.addresses("valid") == {"-", TWO}, 5.0, "what the question brought")
