"""The comparison itself: it finds a program out that differs, and the oracle agrees with itself."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.differential.pair import disagreement, disagreements, haproxy_command
from tests.support.differential.scenarios import Scenario, answers
from tests.support.dns.scripted import NODATA, NX, records

ONE_SERVER = Scenario(
    name="lost and found",
    backends="backend be\n    server s1 app.test:8080 resolvers r1 resolve-prefer ipv4"
    " init-addr none",
    zone={("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): NODATA},
    steps=(
        answers(1.5, "app.test", "*", NX),
        answers(5.5, "app.test", "A", records("NET.2")),
    ),
    seconds=7.0,
)

# HAProxy with one word of its configuration changed: a program that is wrong in one point.
CHANGED = """\
import os, pathlib, sys
program, before, after = sys.argv[1:4]
arguments = sys.argv[4:]
path = pathlib.Path(arguments[arguments.index("-f") + 1])
text = path.read_text()
assert before in text
path.write_text(text.replace(before, after))
os.execv(program, [program, *arguments])
"""


def changed_haproxy(before: str, after: str) -> tuple[str, ...]:
    return (sys.executable, "-c", CHANGED, haproxy_command()[0], before, after)


@pytest.mark.slow
@pytest.mark.quiet
def test_the_oracle_agrees_with_itself(tmp_path: Path) -> None:
    assert disagreements([ONE_SERVER], haproxy_command(), tmp_path) == []


@pytest.mark.slow
@pytest.mark.quiet
def test_a_program_that_differs_in_one_word_is_found_out(tmp_path: Path) -> None:
    changes = (
        ("hold nx 2s", "hold nx 1s"),
        ("hold nx 2s", "hold nx 3s"),
        ("app.test:8080", "app.test:8081"),
        ("init-addr none", "init-addr none disabled"),
    )
    with ThreadPoolExecutor(len(changes)) as pool:
        found = [
            pool.submit(disagreement, ONE_SERVER, changed_haproxy(*change), tmp_path / str(number))
            for number, change in enumerate(changes)
        ]
    for change, account in zip(changes, found, strict=True):
        assert "the subject disagrees" in account.result(), change


@pytest.mark.slow
def test_a_program_that_does_not_start_is_reported_with_its_words(tmp_path: Path) -> None:
    broken = changed_haproxy("balance roundrobin", "blance roundrobin")
    short = replace(ONE_SERVER, steps=(), seconds=0.1)
    assert "blance" in disagreement(short, broken, tmp_path / "0")
