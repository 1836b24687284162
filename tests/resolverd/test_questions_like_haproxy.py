"""The same nameservers ask the same of resolverd and of HAProxy: which type is asked, and when.

Both run at the same time, each with scripted nameservers of its own, and the first questions of
each are compared: types exactly, times within a tolerance that a busy machine needs. The family is
preferred IPv4 and both are accepted, whatever routes the machine has.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from resolverd import daemon
from resolverd.config import Family, Nameserver, ResolversSection
from tests.support.common import require_program
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import (
    NODATA,
    NX,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    Answer,
    Query,
    ScriptedNameserver,
    delayed,
    records,
)

RESOLVE_MS, RETRY_MS, RETRIES = 500, 400, 3
QUESTIONS = 10  # compared, at each nameserver
BEFORE_SILENCE = {"nxdomain and silence": 5}  # from then on Millrace does not wait for the silent
# After silence Millrace asks for the other type as well, in case the first is never answered.
BESIDE_SILENCE = ("silence", "answers later than the retry")
TOLERANCE_S = 0.15  # less than half of the shortest interval
ATTEMPTS = 10  # a machine that is busy delays questions; what is right comes out alike once

CONFIGURATION = """\
global
    .if version_atleast(3.2)
    dns-accept-family ipv4,ipv6
    .endif
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers r1
{nameservers}
    resolve_retries {retries}
    timeout resolve {resolve}ms
    timeout retry {retry}ms
listen l
    bind unix@{socket}
    balance roundrobin
    server-template s 3 app.test:8080 resolvers r1 resolve-prefer ipv4 init-addr none
"""

VALID = records("127.0.1.1", "127.0.1.2")
SCENARIOS: dict[str, list[dict[str, Answer]]] = {
    "silence": [{"*": SILENT}],
    "nxdomain": [{"*": NX}],
    "server failure": [{"*": SERVFAIL}],
    "valid": [{"A": VALID}],
    "only IPv6": [{"A": NODATA, "AAAA": records("::1")}],
    "answers later than the retry": [{"A": delayed(VALID, 0.6)}],
    "nxdomain and truncated": [{"*": NX}, {"*": TRUNCATED}],
    "nxdomain and silence": [{"*": NX}, {"*": SILENT}],
    "nxdomain and valid": [{"*": NX}, {"A": delayed(VALID, 0.1)}],
    "silence and valid": [{"*": SILENT}, {"A": delayed(VALID, 0.1)}],
    "server failure and late nxdomain": [{"*": SERVFAIL}, {"*": delayed(NX, 0.2)}],
}


@contextlib.contextmanager
def scripted(scenario: list[dict[str, Answer]]) -> Iterator[list[ScriptedNameserver]]:
    with contextlib.ExitStack() as stack:
        nameservers = [stack.enter_context(ScriptedNameserver()) for _ in scenario]
        for nameserver, answers in zip(nameservers, scenario, strict=True):
            for rtype, answer in answers.items():
                nameserver.set("app.test", rtype, answer)
        yield nameservers


@contextlib.contextmanager
def haproxy(nameservers: Sequence[ScriptedNameserver], folder: Path) -> Iterator[None]:
    file = folder / "haproxy.cfg"
    lines = [f"    nameserver ns{n} {each.address}" for n, each in enumerate(nameservers)]
    text = CONFIGURATION.format(
        nameservers="\n".join(lines),
        retries=RETRIES,
        resolve=RESOLVE_MS,
        retry=RETRY_MS,
        socket=folder / "listen",
    )
    file.write_text(text)
    with (folder / "output").open("w") as output:
        command = [require_program("haproxy"), "-db", "-f", str(file)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def resolverd(nameservers: Sequence[ScriptedNameserver]) -> ResolverdProcess:
    section = ResolversSection(
        name="r1",
        nameservers=tuple(
            Nameserver(f"ns{index}", each.host, each.port, index=index)
            for index, each in enumerate(nameservers)
        ),
        resolve_retries=RETRIES,
        timeout_resolve_ms=RESOLVE_MS,
        timeout_retry_ms=RETRY_MS,
    )
    both = (Family.IPV4, Family.IPV6)
    return ResolverdProcess(settings_of(section, resolution_settings(servers(3)), families=both))


def differences(theirs: list[Query], ours: list[Query], questions: int) -> list[str]:
    """What differs in the first questions, times counted from question to question."""
    found = []
    pairs = list(zip(theirs[:questions], ours[:questions], strict=True))
    for number, (one, other) in enumerate(pairs):
        if one.rtype != other.rtype:
            found.append(f"question {number}: {one.rtype} and {other.rtype}")
    for number, (before, after) in enumerate(itertools.pairwise(pairs), start=1):
        gaps = [late.at - early.at for early, late in zip(before, after, strict=True)]
        if abs(gaps[0] - gaps[1]) > TOLERANCE_S:
            found.append(f"question {number} after {gaps[0]:.3f} s and {gaps[1]:.3f} s")
    return found


def without_beside(queries: list[Query]) -> tuple[list[Query], list[str]]:
    """What is asked for the preferred type; what else is asked has to come beside one of these."""
    preferred = [each for each in queries if each.rtype == "A"]
    others = [each for each in queries if each.rtype != "A"]
    found = [] if others else ["the other type was never asked"]
    for other in others:
        if min(abs(other.at - each.at) for each in preferred) > TOLERANCE_S:
            found.append(f"{other.rtype} alone")
    return preferred, found


def compare(name: str, folder: Path) -> list[str]:
    folder.mkdir()
    scenario, questions = SCENARIOS[name], BEFORE_SILENCE.get(name, QUESTIONS)
    with (
        scripted(scenario) as for_haproxy,
        scripted(scenario) as for_resolverd,
        haproxy(for_haproxy, folder),
        resolverd(for_resolverd),
    ):
        beside = questions if name in BESIDE_SILENCE else 0  # there are fewer than the others
        for nameserver in for_haproxy:
            nameserver.wait_queries(questions, seconds=20)
        for nameserver in for_resolverd:
            nameserver.wait_queries(questions + beside, seconds=20)
        found = []
        for one, other in zip(for_haproxy, for_resolverd, strict=True):
            ours, alone = without_beside(other.queries) if beside else (other.queries, [])
            found += alone + differences(one.queries, ours, questions)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_resolverd_asks_what_haproxy_asks_at_the_same_times(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "EARLY_PART", 1 << 30)  # runs come early by chance otherwise
    found = [""]
    for attempt in range(ATTEMPTS):
        found = compare(name, tmp_path / str(attempt))
        if not found:
            return
    pytest.fail(f"{name}: {found}")
