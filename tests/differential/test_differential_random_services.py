"""Random histories of an SRV label, from seeds: HAProxy and Millrace follow every one alike.

As with names, a history is made so that its outcome depends neither on when a program asks nor on
what is not specified: every slot is used at first, no target has two ports, some weight is not 0.
A target keeps its address, told beside the records or asked for, as the seed will have it.
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
    records,
    services,
)

SEEDS = range(100, 106)
LABEL = "_web._tcp.app.test"
SECONDS_MAX = 12.0
AFTER_RECORDS = 1.4
BRIEF_ERROR = 1.0  # every hold is 2 s
LONG_ERROR = 4.0
HOSTS = range(1, 7)
WEIGHTS = (0, 1, 256, 257, 768, 65_535)
ERRORS = (NX, REFUSED, SERVFAIL, NODATA, SILENT)


def _records(chance: random.Random, count: int) -> Answer:
    chosen = chance.sample(HOSTS, count)
    weights = [chance.choice(WEIGHTS) for _ in chosen]
    if not any(weights):
        weights[0] = 256
    told = {f"h{host}_test": f"NET.{host}" for host in chosen if chance.random() < 0.5}
    return services(
        *(
            f"{weight} {8000 + host} h{host}.test"
            for host, weight in zip(chosen, weights, strict=True)
        ),
        **told,
    )


def _history(seed: int) -> Scenario:
    chance = random.Random(seed)
    slots, nameservers = chance.randint(1, 4), chance.randint(1, 2)
    zone = {(f"h{host}.test", "A"): records(f"NET.{host}") for host in HOSTS}
    zone[LABEL, "SRV"] = _records(chance, slots)
    steps: list[Step] = []
    now = 1.5
    while now < SECONDS_MAX - LONG_ERROR - AFTER_RECORDS:
        kind = chance.choice(("records", "records", "brief", "long"))
        if kind != "records":
            steps.append(answers(now, LABEL, "*", chance.choice(ERRORS)))
            now += BRIEF_ERROR if kind == "brief" else LONG_ERROR
        steps.append(answers(now, LABEL, "SRV", _records(chance, chance.randint(1, slots))))
        now += AFTER_RECORDS
    return Scenario(
        name=f"seed {seed}: {slots} slots, {nameservers} nameservers",
        backends=f"backend be\n    server-template web {slots} {LABEL}"
        " resolvers r1 resolve-prefer ipv4 init-addr none",
        zone=zone,
        nameservers=nameservers,
        steps=tuple(steps),
        seconds=now + 0.2,
    )


SCENARIOS = tuple(_history(seed) for seed in SEEDS)


@pytest.mark.slow
@pytest.mark.quiet
def test_random_histories_of_labels_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
