"""Health checks and administration beside DNS: HAProxy and Millrace show the same states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import (
    Scenario,
    answers,
    command,
    server_ends,
    server_starts,
)
from tests.support.dns.scripted import NX, SERVFAIL, records

PLAIN = "resolvers r1 resolve-prefer ipv4 init-addr none"
CHECKED = f"{PLAIN} check inter 100ms fall 2 rise 2"
ONE_PLAIN = f"backend be\n    server s1 app.test:8080 {PLAIN}"
ONE_CHECKED = f"backend be\n    server s1 app.test:18080 {CHECKED}"
# A server is up until its next check fails: with this pace that is too short to be a state.
ONE_CHECKED_OFTEN = ONE_CHECKED.replace("inter 100ms", "inter 40ms")
VALID = {("app.test", "A"): records("NET.1")}

SERVER_DIES = Scenario(
    name="a checked server of a template dies and is back",
    backends=f"backend be\n    server-template web 3 app.test:18080 {CHECKED}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    servers=("NET.1", "NET.2"),
    steps=(server_ends(1.5, "NET.2"), server_starts(3.5, "NET.2")),
    seconds=5.5,
)
MOVED_TO_DEAD = Scenario(
    name="a checked server moves to an address where nobody listens, and back",
    backends=ONE_CHECKED.replace("inter 100ms fall 2 rise 2", "inter 250ms fall 3 rise 3"),
    zone=VALID,
    servers=("NET.1",),
    steps=(
        answers(1.5, "app.test", "A", records("NET.2")),
        answers(4.0, "app.test", "A", records("NET.1")),
    ),
    seconds=6.5,
)
CHECKED_LOST = Scenario(
    name="a checked server loses its name and resolves again to a living server",
    backends=ONE_CHECKED,
    zone=VALID,
    servers=("NET.1", "NET.2"),
    steps=(
        answers(1.5, "app.test", "*", NX),
        answers(5.0, "app.test", "A", records("NET.2")),
    ),
    seconds=6.5,
)
DEAD_LOST = Scenario(
    name="a server that is down loses its name and resolves again",
    backends=ONE_CHECKED_OFTEN,
    zone=VALID,
    steps=(
        answers(3.0, "app.test", "*", SERVFAIL),
        answers(7.0, "app.test", "A", records("NET.1")),
    ),
    seconds=9.5,
)
CHECKED_ELSEWHERE = Scenario(
    name="checks go to another port, or to another address, than traffic",
    backends=(
        f"backend be\n    server s1 app.test:8080 {CHECKED} port 18080\n"
        f"    server s2 web.test:8081 {CHECKED} port 18080 addr NET.7"
    ),
    zone={("app.test", "A"): records("NET.1"), ("web.test", "A"): records("NET.1")},
    servers=("NET.1", "NET.7"),
    steps=(
        server_ends(1.5, "NET.1"),
        answers(3.0, "web.test", "A", records("NET.2")),
        server_ends(4.2, "NET.7"),
        server_starts(5.5, "NET.1"),
        server_starts(7.0, "NET.7"),
    ),
    seconds=8.5,
)
CHECKED_MAINT = Scenario(
    name="a checked server dies in maintenance, which then ends",
    backends=ONE_CHECKED_OFTEN,
    zone=VALID,
    servers=("NET.1",),
    steps=(
        command(1.5, "disable server be/s1"),
        server_ends(2.5, "NET.1"),
        command(4.0, "enable server be/s1"),
    ),
    seconds=6.5,
)
MAINT = Scenario(
    name="a server in maintenance while its record changes",
    backends=ONE_PLAIN,
    zone=VALID,
    steps=(
        command(1.5, "disable server be/s1"),
        answers(2.7, "app.test", "A", records("NET.2")),
        command(4.2, "enable server be/s1"),
    ),
    seconds=5.7,
)
MAINT_LOST = Scenario(
    name="a server in maintenance whose name is lost and found",
    backends=ONE_PLAIN,
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 state maint"),
        answers(2.0, "app.test", "*", NX),
        answers(5.5, "app.test", "A", records("NET.2")),
        command(7.0, "set server be/s1 state ready"),
    ),
    seconds=8.5,
)
LOST_THEN_MAINT = Scenario(
    name="a lost name, maintenance begins and ends meanwhile",
    backends=ONE_PLAIN,
    zone=VALID,
    steps=(
        answers(1.5, "app.test", "*", NX),
        command(4.5, "disable server be/s1"),
        command(5.8, "enable server be/s1"),
        answers(7.0, "app.test", "A", records("NET.1")),
    ),
    seconds=8.5,
)
DRAIN = Scenario(
    name="a draining server whose record changes, is lost and comes back",
    backends=ONE_PLAIN,
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 state drain"),
        answers(2.7, "app.test", "A", records("NET.2")),
        answers(4.0, "app.test", "*", NX),
        answers(8.0, "app.test", "A", records("NET.3")),
        command(9.2, "set server be/s1 state ready"),
    ),
    seconds=10.7,
)
DISABLED = Scenario(
    name="a server that the configuration disables",
    backends=f"{ONE_PLAIN} disabled",
    zone=VALID,
    steps=(
        answers(1.5, "app.test", "A", records("NET.2")),
        command(3.0, "enable server be/s1"),
    ),
    seconds=4.5,
)
OWN_ADDRESS = Scenario(
    name="an address set by hand holds until the record changes",
    backends=ONE_PLAIN,
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 addr 127.0.0.99"),
        answers(4.0, "app.test", "A", records("NET.2")),
    ),
    seconds=5.5,
)

SCENARIOS = (
    SERVER_DIES,
    MOVED_TO_DEAD,
    CHECKED_LOST,
    DEAD_LOST,
    CHECKED_ELSEWHERE,
    CHECKED_MAINT,
    MAINT,
    MAINT_LOST,
    LOST_THEN_MAINT,
    DRAIN,
    DISABLED,
    OWN_ADDRESS,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_checks_and_administration_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
