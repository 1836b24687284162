"""A nameserver that names 8 of 20 records at a time: counted, told once, and cured by the advice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import dns.message
import msgspec
import pytest

from resolverd.config import Holds, Nameserver, ResolverdSettings, ResolversSection
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import (
    Answer,
    ScriptedNameserver,
    build_reply,
    forged,
    records,
    services,
)

LABEL = "_web._tcp.app.test"
COUNT, SHOWN = 20, 8


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def subset(kind: str, first: int) -> Answer:
    """Eight neighbours of twenty in a circle."""
    numbers = [(first + number) % COUNT + 1 for number in range(SHOWN)]
    if kind == "A":
        return records(*[f"127.3.0.{number}" for number in numbers])
    hosts = {f"h{number}_test": f"127.3.0.{number}" for number in numbers}
    return services(*[f"1 {number} h{number}.test" for number in numbers], **hosts)


def rotating(kind: str) -> Answer:
    """Each answer has the next eight."""
    turns = itertools.cycle([subset(kind, first) for first in range(0, 5 * SHOWN, SHOWN)])

    def forge(query: dns.message.Message) -> list[bytes]:
        return [build_reply(query, next(turns))]

    return forged(forge)


def settings(nameserver: ScriptedNameserver, kind: str, obsolete_ms: int) -> ResolverdSettings:
    section = ResolversSection(
        name="r1",
        nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
        timeout_resolve_ms=100,
        holds=Holds(obsolete_ms=obsolete_ms),
        accepted_payload_size=8192,
    )
    of_servers = servers(COUNT)
    if kind == "SRV":
        of_servers = tuple(msgspec.structs.replace(each, port=0) for each in of_servers)
    name = "app.test" if kind == "A" else LABEL
    return settings_of(section, resolution_settings(of_servers, name=name))


def advice(resolverd: ResolverdProcess) -> list[str]:
    return [line for line in resolverd.log_lines() if "hold obsolete" in line]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_subsets_are_counted_and_told_once_whoever_is_killed(
    nameserver: ScriptedNameserver, kind: str
) -> None:
    name = "app.test" if kind == "A" else LABEL
    nameserver.set(name, kind, rotating(kind))
    with ResolverdProcess(settings(nameserver, kind, 0)) as resolverd:
        resolverd.wait(lambda: resolverd.record()["returns"] >= 3 * SHOWN, "records come back")
        assert resolverd.record()["returns"] <= SHOWN * resolverd.record()["runs"]
        [line] = advice(resolverd)
        assert line.startswith("<4> Record '")
        assert f"of '{name}' left and came back" in line
        assert "'hold obsolete' is 0s" in line
        assert "set 'hold obsolete 30s' in resolvers 'r1'" in line
        assert (":" in line.split("'")[1]) == (kind == "SRV")
        counted = resolverd.record()["returns"]
        resolverd.kill()
        assert resolverd.record()["returns"] >= counted
        resolverd.start()
        resolverd.wait(
            lambda: resolverd.record()["returns"] >= counted + 3 * SHOWN, "a successor counts on"
        )
        assert len(advice(resolverd)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_with_the_advised_hold_every_record_keeps_its_server(
    nameserver: ScriptedNameserver, kind: str
) -> None:
    name = "app.test" if kind == "A" else LABEL
    nameserver.set(name, kind, rotating(kind))
    with ResolverdProcess(settings(nameserver, kind, 30_000)) as resolverd:
        resolverd.wait(lambda: None not in resolverd.addresses(), "all servers have an address")
        before = [resolverd.slot(slot) for slot in range(COUNT)]
        runs = resolverd.record()["runs"]
        resolverd.wait(lambda: resolverd.record()["runs"] >= runs + 10, "ten more answers")
        assert [resolverd.slot(slot) for slot in range(COUNT)] == before
        assert resolverd.record()["returns"] == 0
        assert advice(resolverd) == []
