"""Orders of the operator beside DNS: RMAINT and forced states, health, addresses, checks."""

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
from tests.support.dns.scripted import NX, records

PLAIN = "resolvers r1 resolve-prefer ipv4 init-addr none"
CHECKED = f"{PLAIN} check inter 400ms fastinter 400ms fall 2 rise 2"
VALID = {("app.test", "A"): records("NET.1")}

HEALTH_UNCHECKED = Scenario(
    name="the health of a server that nobody checks, then maintenance and a lost name",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}\n    server s2 NET.9:80",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 health down"),
        command(2.5, "set server be/s1 health stopping"),
        command(3.5, "set server be/s1 health up"),
        command(4.5, "set server be/s1 health down"),
        command(5.5, "set server be/s1 state maint"),
        command(6.5, "set server be/s1 state ready"),
        command(7.5, "set server be/s2 health down"),
        command(8.5, "set server be/s2 health up"),
    ),
    seconds=9.5,
)
HEALTH_LOST = Scenario(
    name="a server said to be down loses its name and resolves again",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 health down"),
        answers(2.5, "app.test", "*", NX),
        answers(6.5, "app.test", "A", records("NET.2")),
    ),
    seconds=8.0,
)
HEALTH_MOVED = Scenario(
    name="a server said to be down moves in place",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 health down"),
        answers(2.5, "app.test", "A", records("NET.2")),
    ),
    seconds=4.0,
)
HEALTH_CHECKED = Scenario(
    name="a checked server is said to be down, up and stopping, and checks have the last word",
    backends=f"backend be\n    server s1 app.test:18080 {CHECKED}",
    zone=VALID,
    servers=("NET.1",),
    steps=(
        command(1.6, "disable health be/s1"),
        command(2.4, "set server be/s1 health down"),
        command(3.2, "set server be/s1 health stopping"),
        command(4.0, "set server be/s1 health up"),
        command(4.8, "set server be/s1 health down"),
        command(5.6, "enable health be/s1"),
        server_ends(8.0, "NET.1"),
        server_starts(10.0, "NET.1"),
    ),
    seconds=12.0,
)
CHECKS_OFF = Scenario(
    name="a server dies while its checks are suspended",
    backends=f"backend be\n    server s1 app.test:18080 {CHECKED}",
    zone=VALID,
    servers=("NET.1",),
    steps=(
        command(1.6, "disable health be/s1"),
        server_ends(2.0, "NET.1"),
        command(4.0, "enable health be/s1"),
    ),
    seconds=6.5,
)
DRAIN_LOST_MAINT = Scenario(
    name="drain, then a lost name, then maintenance, then the name is back, then ready",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 state drain"),
        answers(2.3, "app.test", "*", NX),
        command(5.5, "set server be/s1 state maint"),
        answers(6.5, "app.test", "A", records("NET.2")),
        command(7.5, "set server be/s1 state drain"),
        command(8.5, "set server be/s1 state ready"),
    ),
    seconds=9.5,
)
LOST_THEN_DRAIN = Scenario(
    name="a lost name, drain begins meanwhile, the name comes back",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        answers(1.5, "app.test", "*", NX),
        command(4.5, "set server be/s1 state drain"),
        answers(5.5, "app.test", "A", records("NET.1")),
        command(6.5, "set server be/s1 state ready"),
    ),
    seconds=7.5,
)
WEIGHT_LOST = Scenario(
    name="a weight set by hand outlives a lost name",
    backends=f"backend be\n    server s1 app.test:8080 weight 100 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 weight 50%"),
        answers(2.3, "app.test", "*", NX),
        command(5.3, "set server be/s1 weight 7"),
        answers(6.3, "app.test", "A", records("NET.2")),
        command(7.3, "set server be/s1 weight 100%"),
    ),
    seconds=8.3,
)
ADDRESS_LOST = Scenario(
    name="an address set by hand, port too, goes with the name",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 addr NET.77"),
        answers(3.0, "app.test", "*", NX),
        answers(7.0, "app.test", "A", records("NET.1")),
    ),
    seconds=8.5,
)
ADDRESS_IN_MAINT = Scenario(
    name="an address set by hand in maintenance",
    backends=f"backend be\n    server s1 app.test:8080 {PLAIN}",
    zone=VALID,
    steps=(
        command(1.5, "set server be/s1 state maint"),
        command(2.3, "set server be/s1 addr NET.77"),
        command(3.1, "set server be/s1 state ready"),
        answers(4.0, "app.test", "A", records("NET.2")),
    ),
    seconds=5.5,
)
SCENARIOS = (
    HEALTH_UNCHECKED,
    HEALTH_LOST,
    HEALTH_MOVED,
    HEALTH_CHECKED,
    CHECKS_OFF,
    DRAIN_LOST_MAINT,
    LOST_THEN_DRAIN,
    WEIGHT_LOST,
    ADDRESS_LOST,
    ADDRESS_IN_MAINT,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_orders_beside_dns_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
