"""Several nameservers and both families: HAProxy and Millrace come to the same addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import SHORT_HOLDS, Scenario, answers, nameserver_ends
from tests.support.dns.scripted import NODATA, NX, REFUSED, SILENT, delayed, records

OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
ONE_SERVER = f"backend be\n    server s1 app.test:8080 {OPTIONS}"
VALID = {("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): NODATA}
TIMEOUT_LONG = SHORT_HOLDS.replace("timeout 2s", "timeout 30s")
REFUSED_LONG = SHORT_HOLDS.replace("refused 2s", "refused 30s")

ONE_SILENT = Scenario(
    name="one nameserver falls silent, the other answers and changes",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    steps=(
        answers(1.5, "app.test", "*", SILENT, nameserver=0),
        answers(3.0, "app.test", "A", records("NET.2"), nameserver=1),
    ),
    seconds=6.5,
)
ONE_NEVER_THERE = Scenario(
    name="one nameserver never answers, the other does and changes",
    backends=f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}",
    zone={("app.test", "*"): SILENT},
    nameservers=2,
    steps=(
        answers(0.0, "app.test", "*", NODATA, nameserver=1),
        answers(0.0, "app.test", "A", records("NET.1", "NET.2"), nameserver=1),
        answers(3.0, "app.test", "A", records("NET.2", "NET.3", "NET.4"), nameserver=1),
    ),
    seconds=4.5,
)
ONE_GONE = Scenario(
    name="one nameserver's port is closed, the other answers and changes",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    steps=(
        nameserver_ends(1.5, 0),
        answers(3.0, "app.test", "A", records("NET.2"), nameserver=1),
    ),
    seconds=6.5,
)
ONE_NX = Scenario(
    name="one nameserver says NX at once, the valid answer of the other comes later",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    steps=(
        answers(1.4, "app.test", "A", delayed(records("NET.1"), 0.03), nameserver=1),
        answers(1.5, "app.test", "*", NX, nameserver=0),
        answers(4.5, "app.test", "A", delayed(records("NET.2"), 0.03), nameserver=1),
    ),
    seconds=6.0,
)
ONE_NX_LATE = Scenario(
    name="one nameserver is valid at once, the NX of the other comes later",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    steps=(
        answers(1.5, "app.test", "*", delayed(NX, 0.03), nameserver=1),
        answers(4.5, "app.test", "A", records("NET.2"), nameserver=0),
    ),
    seconds=6.0,
)
BOTH_FAIL = Scenario(
    name="one nameserver refuses, then both, then one recovers",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    holds=TIMEOUT_LONG,
    steps=(
        answers(1.5, "app.test", "*", REFUSED, nameserver=0),
        answers(2.5, "app.test", "*", REFUSED, nameserver=1),
        answers(6.0, "app.test", "A", records("NET.3"), nameserver=1),
    ),
    seconds=7.5,
)
REFUSED_AND_SILENT = Scenario(
    name="a refusal beside silence is a refusal",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=2,
    holds=TIMEOUT_LONG,
    steps=(
        answers(1.5, "app.test", "*", SILENT, nameserver=0),
        answers(1.5, "app.test", "*", REFUSED, nameserver=1),
        answers(6.0, "app.test", "A", records("NET.1"), nameserver=0),
    ),
    seconds=7.5,
)
ALL_SILENT = Scenario(
    name="all nameservers time out, then one is back",
    backends=f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    nameservers=3,
    holds=REFUSED_LONG,
    steps=(
        answers(1.5, "app.test", "*", SILENT),
        answers(5.5, "app.test", "A", records("NET.2", "NET.3"), nameserver=2),
    ),
    seconds=7.0,
)
SECOND_OF_THREE = Scenario(
    name="of three nameservers one is silent, one NX, one valid",
    backends=ONE_SERVER,
    zone=VALID,
    nameservers=3,
    steps=(
        answers(1.5, "app.test", "*", SILENT, nameserver=0),
        answers(1.5, "app.test", "*", NX, nameserver=2),
        answers(4.5, "app.test", "A", records("NET.2"), nameserver=1),
    ),
    seconds=6.0,
)
OTHER_FAMILY = Scenario(
    name="no address of the preferred family: the other one, and back",
    backends=ONE_SERVER,
    zone={("app.test", "A"): NODATA, ("app.test", "AAAA"): records("fd00::1")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.1")),
        answers(3.0, "app.test", "A", NODATA),
        answers(4.5, "app.test", "AAAA", records("fd00::2")),
    ),
    seconds=6.0,
)
BOTH_FAMILIES = Scenario(
    name="both families are there: the preferred one, in a template too",
    backends=(
        f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}\n"
        f"backend six\n    server-template web 3 app.test:8080"
        " resolvers r1 resolve-prefer ipv6 init-addr none"
    ),
    zone={
        ("app.test", "A"): records("NET.1", "NET.2"),
        ("app.test", "AAAA"): records("fd00::1", "fd00::2", "fd00::3"),
    },
    steps=(
        answers(1.5, "app.test", "AAAA", records("fd00::4")),
        answers(3.0, "app.test", "AAAA", NODATA),
        answers(4.5, "app.test", "AAAA", records("fd00::5", "fd00::4")),
    ),
    seconds=6.0,
)

SCENARIOS = (
    ONE_SILENT,
    ONE_NEVER_THERE,
    ONE_GONE,
    ONE_NX,
    ONE_NX_LATE,
    BOTH_FAIL,
    REFUSED_AND_SILENT,
    ALL_SILENT,
    SECOND_OF_THREE,
    OTHER_FAMILY,
    BOTH_FAMILIES,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_nameservers_that_differ_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
