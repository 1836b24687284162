"""Valid answers that change: HAProxy and Millrace give servers the same addresses in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import SHORT_HOLDS, Scenario, answers
from tests.support.dns.scripted import NODATA, records

OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
ONE_SERVER = f"backend be\n    server s1 app.test:8080 {OPTIONS}"
KEPT_FOR_A_WHILE = SHORT_HOLDS.replace("obsolete 0s", "obsolete 1500ms")

REPLACED = Scenario(
    name="a record is replaced, twice",
    backends=ONE_SERVER,
    zone={("app.test", "A"): records("NET.1")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.2")),
        answers(3.0, "app.test", "A", records("NET.3")),
    ),
    seconds=4.5,
)
TEMPLATE = Scenario(
    name="a template grows and shrinks",
    backends=f"backend be\n    server-template web 5 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2", "NET.3")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.1", "NET.2", "NET.3", "NET.4")),
        answers(3.0, "app.test", "A", records("NET.4", "NET.5", "NET.1", "NET.3", "NET.2")),
        answers(4.5, "app.test", "A", records("NET.5", "NET.2")),
        answers(6.0, "app.test", "A", records("NET.2")),
        answers(7.5, "app.test", "A", records("NET.6", "NET.7", "NET.8")),
    ),
    seconds=9.0,
)
ROTATED = Scenario(
    name="a full template meets the same records in another order, then one more",
    backends=f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2", "NET.3")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.3", "NET.1", "NET.2")),
        answers(2.5, "app.test", "A", records("NET.4", "NET.3", "NET.2", "NET.1")),
        answers(4.0, "app.test", "A", records("NET.4", "NET.3", "NET.2")),
    ),
    seconds=5.5,
)
EMPTIED = Scenario(
    name="all records leave and others come",
    backends=f"backend be\n    server-template web 2 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    steps=(
        answers(1.5, "app.test", "*", NODATA),
        answers(5.0, "app.test", "A", records("NET.3", "NET.4")),
    ),
    seconds=6.5,
)
SHARED = Scenario(
    name="two backends and plain servers share a name",
    backends=(
        f"{ONE_SERVER}\n    server s2 app.test:8080 {OPTIONS}\n"
        f"backend other\n    server-template web 3 app.test:9090 {OPTIONS}"
    ),
    zone={("app.test", "A"): records("NET.1")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.1", "NET.2")),
        answers(3.0, "app.test", "A", records("NET.2")),
    ),
    seconds=4.5,
)
TWO_NAMES = Scenario(
    name="two names with an address in common are no duplicates",
    backends=(
        f"backend be\n    server s1 app.test:8080 {OPTIONS}\n    server s2 web.test:8081 {OPTIONS}"
    ),
    zone={("app.test", "A"): records("NET.1"), ("web.test", "A"): records("NET.1")},
    steps=(
        answers(1.5, "web.test", "A", records("NET.2")),
        answers(3.0, "app.test", "A", records("NET.2")),
    ),
    seconds=4.5,
)
ALIAS = Scenario(
    name="a name behind a chain of aliases",
    backends=ONE_SERVER,
    zone={("app.test", "A"): records("NET.1", aliases=("one.test.", "two.test."))},
    steps=(
        answers(1.5, "app.test", "A", records("NET.2", aliases=("three.test.",))),
        answers(3.0, "app.test", "A", records("NET.3")),
    ),
    seconds=4.5,
)
OBSOLETE = Scenario(
    name="a record that leaves is kept for hold obsolete",
    backends=f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    holds=KEPT_FOR_A_WHILE,
    steps=(
        answers(1.5, "app.test", "A", records("NET.1")),
        answers(2.3, "app.test", "A", records("NET.1", "NET.2")),  # back in time: nothing happens
        answers(4.0, "app.test", "A", records("NET.2")),  # for good: NET.1 leaves 1.5 s later
        answers(7.0, "app.test", "A", records("NET.2", "NET.3")),
    ),
    seconds=8.5,
)

SCENARIOS = (
    REPLACED,
    TEMPLATE,
    ROTATED,
    EMPTIED,
    SHARED,
    TWO_NAMES,
    ALIAS,
    OBSOLETE,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_changing_records_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
