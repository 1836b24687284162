"""The five scenarios of two nameservers in the documents that started the project.

The whole program runs on the documents' own `resolvers` section. Each nameserver keeps a log of the
questions that it got, type and time, and that log is compared question by question within 0.2 s.
IPv6 is preferred, by default, so the new type of a retry is A. All scenarios run at
the same time, each with a program and nameservers of its own; they mostly wait.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.common import free_port, wait_for
from tests.support.dns.scripted import (
    NX,
    SILENT,
    TRUNCATED,
    Answer,
    Query,
    ScriptedNameserver,
    records,
)
from tests.support.program.program import Program

NAME = "app.mission.test"
WITHIN_S = 0.2
ATTEMPTS = 3  # a machine that stalls a program for longer proves nothing

CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
    dns-accept-family ipv4,ipv6
resolvers mydns
    nameserver dns1 {first}
    nameserver dns2 {second}
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold other 30s
    hold refused 30s
    hold nx 30s
    hold timeout 30s
    hold valid 10s
    hold obsolete 30s
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen l
    bind 127.0.0.1:{port}
    server s1 {name}:80 resolvers mydns init-addr none
"""

Zone = dict[str, Answer]  # by type; "*" is every type
Asked = tuple[str, float]  # type, and seconds since the first question


@dataclass(frozen=True)
class Scenario:
    """What two nameservers say, what each is asked and when, and the address in the end."""

    name: str
    first: Zone
    second: Zone
    asked: tuple[Asked, ...]
    address: str


def _late(address: str, delay_s: float) -> Answer:
    return records(address, delay_s=delay_s)


KINDS = ("AAAA", "A")

SCENARIOS = (
    Scenario(
        "the first response is valid and is applied, the second is ignored",
        {"AAAA": records("fd00::1")},
        {"AAAA": _late("fd00::2", 0.3)},
        (("AAAA", 0), ("AAAA", 1), ("AAAA", 2)),
        "fd00::1",
    ),
    Scenario(
        "the first response is invalid, the second is valid and is applied",
        {"*": NX},
        {"AAAA": _late("fd00::2", 0.5)},
        (("AAAA", 0), ("AAAA", 1.5), ("AAAA", 3)),
        "fd00::2",
    ),
    Scenario(
        "NX and truncated: the new type at once",
        {"*": NX},
        {"AAAA": TRUNCATED, "A": records("127.0.1.2")},
        (("AAAA", 0), ("A", 0), ("AAAA", 1), ("A", 1)),
        "127.0.1.2",
    ),
    Scenario(
        "NX and truncated for both types: all attempts, then timeout resolve",
        {"*": NX},
        {"*": TRUNCATED},
        tuple((kind, at) for at in (0, 1, 2, 3, 4) for kind in KINDS),
        "-",
    ),
    Scenario(
        "NX and time-out: the new type after timeout retry",
        {"*": NX},
        {"AAAA": SILENT, "A": records("127.0.1.2")},
        (("AAAA", 0), ("A", 1), ("AAAA", 2), ("A", 3)),
        "127.0.1.2",
    ),
    Scenario(
        "NX and time-out for both types: all attempts; the third is the last to wait for silence",
        {"*": NX},
        {"*": SILENT},
        (
            ("AAAA", 0),
            ("A", 1),
            ("AAAA", 2),
            ("A", 3),
            ("AAAA", 4),
            ("A", 4),
            ("AAAA", 5),
        ),
        "-",
    ),
    Scenario(
        "both time out: the same type again, and the other beside it, in each run",
        {"*": SILENT},
        {"*": SILENT},
        tuple((kind, at) for at in (0, 1, 2, 4, 5) for kind in KINDS if kind == "AAAA" or at % 4),
        "-",
    ),
)


def seen(queries: list[Query]) -> list[Asked]:
    """Types and times, from the first question on."""
    return [(query.rtype, round(query.at - queries[0].at, 3)) for query in queries]


def differs(found: list[Asked], wanted: tuple[Asked, ...]) -> bool:
    return len(found) < len(wanted) or any(
        kind != asked or abs(at - when) > WITHIN_S
        for (kind, at), (asked, when) in zip(found, wanted, strict=False)
    )


def complaint(scenario: Scenario, folder: Path) -> str:
    """'' when both logs and the address are as they should be."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        nameservers = [stack.enter_context(ScriptedNameserver()) for _ in range(2)]
        for nameserver, zone in zip(nameservers, (scenario.first, scenario.second), strict=True):
            for kind, answer in zone.items():
                nameserver.set(NAME, kind, answer)
        first, second = (nameserver.address for nameserver in nameservers)
        text = CONFIGURATION.format(first=first, second=second, name=NAME, port=free_port())
        program = stack.enter_context(Program(folder, text))
        for nameserver in nameservers:
            nameserver.wait_queries(len(scenario.asked), seconds=30)
        logs = [seen(nameserver.queries) for nameserver in nameservers]
        wait_for(
            lambda: program.servers("l")["s1"]["srv_addr"] == scenario.address, 5, scenario.name
        )
    wrong = [log[: len(scenario.asked)] for log in logs if differs(log, scenario.asked)]
    return f"{scenario.name}: {wrong}" if wrong else ""


def steadied(scenario: Scenario, folder: Path) -> str:
    account = ""
    for attempt in range(ATTEMPTS):
        try:
            account = complaint(scenario, folder / str(attempt))
        except pytest.fail.Exception as error:
            account = f"{scenario.name}: {error}"
        if not account:
            return ""
    return account


@pytest.mark.slow
@pytest.mark.quiet
def test_two_nameservers_are_asked_as_the_documents_say(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        accounts = list(
            pool.map(lambda pair: steadied(pair[1], tmp_path / str(pair[0])), enumerate(SCENARIOS))
        )
    assert not any(accounts), "\n".join(account for account in accounts if account)
