"""Every counter of a nameserver counts what its name says: one run, one kind of answer."""

from __future__ import annotations

import dns.message
import dns.name
import pytest

from resolverd.config import Family, Nameserver, ResolversSection
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    Answer,
    ScriptedNameserver,
    build_reply,
    forged,
    records,
)

HOUR_MS = 3_600_000
ONE = records("127.0.1.1")
MANY = records(*(f"127.0.1.{last}" for last in range(1, 61)))  # more than 512 bytes


def twice(query: dns.message.Message) -> list[bytes]:
    """The same answer in two datagrams."""
    return [build_reply(query, ONE)] * 2


def other_question(query: dns.message.Message) -> list[bytes]:
    """An answer to no question, under the right id."""
    reply = build_reply(query, ONE)
    message = dns.message.from_wire(reply)
    message.question[0].name = dns.name.from_text("evil.test.")
    return [message.to_wire()]


def settings(nameserver: ScriptedNameserver, retry_ms: int = 300) -> ResolversSection:
    """One attempt, and no second run within the test."""
    return ResolversSection(
        name="r1",
        nameservers=(Nameserver("ns1", nameserver.host, nameserver.port, index=0),),
        resolve_retries=1,
        timeout_resolve_ms=HOUR_MS,
        timeout_retry_ms=retry_ms,
    )


def counted(resolverd: ResolverdProcess) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: value for name, value in resolverd.counters().items() if value}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ONE, {"valid": 1, "update": 1}),
        (records("127.0.1.1", aliases=("b.test.",)), {"valid": 1, "update": 1, "cname": 1}),
        (Answer(aliases=("b.test.",)), {"cname_error": 1}),
        (NODATA, {"any_err": 1}),
        (NX, {"nx": 1}),
        (SILENT, {"timeout": 1}),
        (REFUSED, {"refused": 1}),
        (SERVFAIL, {"other": 1}),
        (forged(other_question), {"invalid": 1, "timeout": 1}),
        (forged(lambda query: [b"short"]), {"invalid": 1, "timeout": 1}),
        (MANY, {"too_big": 1, "truncated": 1, "update": 1}),
        (TRUNCATED, {"truncated": 1}),
        (forged(twice), {"valid": 1, "update": 1, "outdated": 1}),
    ],
)
def test_one_kind_of_answer_moves_its_counters_and_no_other(
    answer: Answer, expected: dict[str, int]
) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", answer)
        names = resolution_settings(servers(1), Family.IPV4)
        # an attempt with an error lasts as long; a busy nameserver needs some of it for its answer
        section = settings(nameserver, 300 if "timeout" in expected else 3_000)
        with ResolverdProcess(settings_of(section, names)) as resolverd:
            wanted = {"sent": 1, **expected}
            resolverd.wait(lambda: resolverd.record()["runs"] == 1, "one run")
            resolverd.wait(
                lambda: counted(resolverd) == wanted, f"{wanted}, not {counted(resolverd)}"
            )


@pytest.mark.slow
def test_a_nameserver_that_is_not_there_counts_as_a_send_error() -> None:
    with ScriptedNameserver() as nameserver:
        section = settings(nameserver)
    names = resolution_settings(servers(1), Family.IPV4)
    with ResolverdProcess(settings_of(section, names)) as resolverd:
        resolverd.wait(lambda: resolverd.counters()["snd_error"] == 1, "a send error")
        assert resolverd.counters()["valid"] == 0


@pytest.mark.slow
def test_every_changed_address_is_an_update_and_the_same_answer_is_none() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", records("127.0.1.1", "127.0.1.2"))
        section = settings(nameserver)
        quick = ResolversSection(
            section.name, section.nameservers, timeout_resolve_ms=50, timeout_retry_ms=300
        )
        names = resolution_settings(servers(3), Family.IPV4)
        with ResolverdProcess(settings_of(quick, names)) as resolverd:
            resolverd.wait(lambda: resolverd.record()["runs"] >= 3, "three runs")
            assert resolverd.counters()["update"] == 2
            nameserver.set("app.test", "A", records("127.0.1.1", "127.0.1.3"))
            resolverd.wait_addresses("127.0.1.1", "127.0.1.3", None)
            assert resolverd.counters()["update"] == 3
            resolverd.wait(
                lambda: resolverd.counters()["valid"] == resolverd.record()["runs"],
                "as many valid answers as runs",
            )
