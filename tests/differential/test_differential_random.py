"""Random histories of a name, from seeds: HAProxy and Millrace follow every one alike.

A history is made so that its outcome does not depend on when exactly a program asks: changes are
further apart than a round of questions takes, errors end well before their hold or well after it,
and there are never more records than servers (which of a surplus is left out is not specified).
A failure names its seed, which is all it takes to run it again.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import Scenario, Step, answers
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    Answer,
    delayed,
    records,
)

SEEDS = range(8)
SECONDS_MAX = 13.0
AFTER_RECORDS = 1.3
BRIEF_ERROR = 1.0  # every hold is 2 s
LONG_ERROR = 4.0
SERVERS_MAX = 6
ERRORS = (NX, REFUSED, SERVFAIL, NODATA, SILENT)


def _records(chance: random.Random, servers: int) -> Answer:
    chosen = chance.sample(range(1, 13), chance.randint(1, servers))
    return delayed(records(*(f"NET.{last}" for last in chosen)), chance.choice((0.0, 0.0, 0.03)))


def _history(seed: int) -> Scenario:
    chance = random.Random(seed)
    servers, nameservers = chance.randint(1, SERVERS_MAX), chance.randint(1, 3)
    first = _records(chance, servers)
    steps: list[Step] = []
    now = 1.5
    while now < SECONDS_MAX - LONG_ERROR - AFTER_RECORDS:
        kind = chance.choice(("records", "records", "brief", "long", "one nameserver"))
        if kind == "one nameserver" and nameservers > 1:
            # Its error or silence must change nothing while another one answers.
            steps.append(answers(now, "app.test", "*", chance.choice(ERRORS), nameserver=0))
            now += AFTER_RECORDS
        elif kind in {"brief", "long"}:
            steps.append(answers(now, "app.test", "*", chance.choice(ERRORS)))
            now += BRIEF_ERROR if kind == "brief" else LONG_ERROR
        steps.append(answers(now, "app.test", "A", _records(chance, servers)))
        now += AFTER_RECORDS
    return Scenario(
        name=f"seed {seed}: {servers} servers, {nameservers} nameservers",
        backends=f"backend be\n    server-template web {servers} app.test:8080"
        " resolvers r1 resolve-prefer ipv4 init-addr none",
        zone={("app.test", "A"): first, ("app.test", "AAAA"): NODATA},
        nameservers=nameservers,
        steps=tuple(steps),
        seconds=now + 0.2,
    )


SCENARIOS = tuple(_history(seed) for seed in SEEDS)


@pytest.mark.slow
@pytest.mark.quiet
def test_random_histories_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
