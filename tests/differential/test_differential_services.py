"""SRV labels: HAProxy and Millrace give slots the same addresses, ports and weights in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import SHORT_HOLDS, Scenario, Step, answers
from tests.support.dns.scripted import NX, SERVFAIL, SILENT, Answer, records, services

LABEL = "_web._tcp.app.test"
OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
# No slot is ever unused: which one a record gets then is a difference on purpose.
PAIR = f"backend be\n    server-template web 2 {LABEL} {OPTIONS}"
TEMPLATE = f"backend be\n    server-template web 3 {LABEL} {OPTIONS}"
KEPT_FOR_A_WHILE = SHORT_HOLDS.replace("obsolete 0s", "obsolete 1500ms")

ONE = services("256 8001 h1.test", h1_test="NET.1")
TWO = services("256 8001 h1.test", "768 8002 h2.test", h1_test="NET.1", h2_test="NET.2")


def label(at: float, answer: Answer) -> Step:
    return answers(at, LABEL, "SRV", answer)


ADDED_REMOVED = Scenario(
    name="records are added, removed and replaced",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): TWO},
    steps=(
        label(
            1.5,
            services(
                *("256 8001 h1.test", "768 8002 h2.test", "1 8003 h3.test"),
                h1_test="NET.1",
                h2_test="NET.2",
                h3_test="NET.3",
            ),
        ),
        label(3.0, services("768 8002 h2.test", h2_test="NET.2")),
        label(4.5, services("1 8004 h4.test", h4_test="NET.4")),
        label(6.0, TWO),
    ),
    seconds=7.5,
)
PORT_CHANGED = Scenario(
    name="a record changes its port, then its target",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): TWO},
    steps=(
        label(
            1.5,
            services("256 9001 h1.test", "768 8002 h2.test", h1_test="NET.1", h2_test="NET.2"),
        ),
        label(
            3.0,
            services("256 9001 h3.test", "768 8002 h2.test", h3_test="NET.1", h2_test="NET.2"),
        ),
    ),
    seconds=4.5,
)


def _weighted(first: int, second: int) -> Answer:
    return services(
        f"{first} 8001 h1.test", f"{second} 8002 h2.test", h1_test="NET.1", h2_test="NET.2"
    )


WEIGHT_CHANGED = Scenario(
    name="weights follow the records: one 0 drains, 65535 is the most",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): _weighted(256, 768)},
    steps=(
        label(1.5, _weighted(257, 1)),
        label(3.0, _weighted(0, 65_535)),
        label(4.5, _weighted(512, 511)),
    ),
    seconds=6.0,
)
IGNORED_WEIGHT = Scenario(
    name="ignore-weight keeps the configured weight",
    backends=f"{TEMPLATE} weight 7 resolve-opts ignore-weight",
    zone={(LABEL, "SRV"): _weighted(256, 768)},
    steps=(label(1.5, _weighted(0, 65_535)),),
    seconds=3.0,
)
WITHOUT_ADDRESSES = services("256 8001 h1.test", "768 8002 h2.test")
TARGETS = {("h1.test", "A"): records("NET.1"), ("h2.test", "A"): records("NET.2")}
OWN_RESOLUTION = Scenario(
    name="targets without additional records are resolved on their own and move",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): WITHOUT_ADDRESSES, **TARGETS},
    steps=(
        answers(1.5, "h1.test", "A", records("NET.3")),
        answers(3.0, "h2.test", "A", records("NET.4")),
        label(4.5, services("768 8002 h2.test", "256 8005 h1.test")),
    ),
    seconds=6.0,
)
ADDITIONAL_GOES = Scenario(
    name="additional records come and go, with the same addresses",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): TWO, **TARGETS},
    steps=(label(1.5, WITHOUT_ADDRESSES), label(3.5, TWO)),
    seconds=5.0,
)
TARGET_LOST = Scenario(
    name="a target without address past its hold, then another one",
    backends=TEMPLATE,
    zone={(LABEL, "SRV"): WITHOUT_ADDRESSES, **TARGETS},
    steps=(
        answers(1.5, "h1.test", "*", NX),
        answers(5.5, "h1.test", "A", records("NET.7")),
    ),
    seconds=7.0,
)
SAME_TARGET = Scenario(
    name="one target under two ports",
    backends=f"{TEMPLATE} resolve-opts allow-dup-ip",
    zone={
        (LABEL, "SRV"): services("1 8001 h1.test", "1 8002 h1.test"),
        ("h1.test", "A"): records("NET.1"),
    },
    steps=(
        answers(1.5, "h1.test", "A", records("NET.2")),
        label(3.0, services("1 8002 h1.test")),
    ),
    seconds=4.5,
)
OBSOLETE = Scenario(
    name="a record that leaves is kept for hold obsolete",
    backends=PAIR,
    zone={(LABEL, "SRV"): TWO},
    holds=KEPT_FOR_A_WHILE,
    steps=(
        label(1.5, ONE),
        label(2.3, TWO),  # back in time: nothing happens
        label(4.0, ONE),  # for good
        label(7.0, TWO),
    ),
    seconds=8.5,
)


def _within_and_past(title: str, error: Answer) -> Scenario:
    return Scenario(
        name=f"{title} within its hold, then past it, then back",
        backends=PAIR,
        zone={(LABEL, "SRV"): TWO},
        steps=(
            answers(1.5, LABEL, "*", error),
            label(2.5, TWO),
            answers(4.0, LABEL, "*", error),
            label(8.0, ONE),
        ),
        seconds=9.5,
    )


EXHAUSTED = Scenario(
    name="more records than slots: the one left out gets the slot that is freed",
    backends=PAIR,
    zone={(LABEL, "SRV"): TWO},
    steps=(
        label(
            1.5,
            services(
                *("256 8001 h1.test", "768 8002 h2.test", "1 8003 h3.test"),
                h1_test="NET.1",
                h2_test="NET.2",
                h3_test="NET.3",
            ),
        ),
        label(
            3.0,
            services("768 8002 h2.test", "1 8003 h3.test", h2_test="NET.2", h3_test="NET.3"),
        ),
    ),
    seconds=4.5,
)
PLAIN_SERVERS = Scenario(
    name="plain server lines on a label",
    backends=(
        f"backend be\n    server s1 {LABEL} {OPTIONS}\n    server s2 {LABEL} {OPTIONS} weight 9"
    ),
    zone={(LABEL, "SRV"): ONE},
    steps=(label(1.5, TWO), label(3.0, services("1 8002 h2.test", h2_test="NET.2"))),
    seconds=4.5,
)
TWO_BACKENDS = Scenario(
    name="two backends share a label",
    backends=f"{TEMPLATE}\nbackend other\n    server-template web 2 {LABEL} {OPTIONS}",
    zone={(LABEL, "SRV"): ONE},
    steps=(label(1.5, TWO), label(3.0, ONE)),
    seconds=4.5,
)
OVER_TCP = Scenario(
    name="a nameserver over TCP only",
    backends=f"{TEMPLATE}\nbackend other\n    server s1 h1.test:80 {OPTIONS}",
    zone={(LABEL, "SRV"): TWO, **TARGETS},
    over_tcp=True,
    steps=(
        label(1.5, ONE),
        answers(3.0, "h1.test", "A", records("NET.9")),
    ),
    seconds=4.5,
)

SCENARIOS = (
    ADDED_REMOVED,
    PORT_CHANGED,
    WEIGHT_CHANGED,
    IGNORED_WEIGHT,
    OWN_RESOLUTION,
    ADDITIONAL_GOES,
    TARGET_LOST,
    SAME_TARGET,
    OBSOLETE,
    _within_and_past("no such name", NX),
    _within_and_past("server failure", SERVFAIL),
    _within_and_past("silence", SILENT),
    EXHAUSTED,
    PLAIN_SERVERS,
    TWO_BACKENDS,
    OVER_TCP,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_srv_records_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
