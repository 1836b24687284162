"""What stays unanswered, or seems to: real nameservers and a real resolverd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resolverd.config import Family, Holds, Nameserver, ResolversSection
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import SILENT, ScriptedNameserver

ONE, SIX = "127.0.1.1", "::1"


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def section_of(nameserver: ScriptedNameserver, holds: Holds, retries: int = 2) -> ResolversSection:
    return ResolversSection(
        name="r1",
        nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
        resolve_retries=retries,
        timeout_resolve_ms=200,
        timeout_retry_ms=200,
        holds=holds,
    )


@pytest.mark.slow
@pytest.mark.parametrize("retries", [1, 2])
def test_a_name_whose_preferred_type_meets_silence_is_found_by_the_other(
    nameserver: ScriptedNameserver, retries: int
) -> None:
    nameserver.set("app.test", "AAAA", SILENT)
    nameserver.set("app.test", "A", ONE)
    of = resolution_settings(servers(1), Family.IPV6)
    section = section_of(nameserver, Holds(), retries)
    both = (Family.IPV4, Family.IPV6)
    with ResolverdProcess(settings_of(section, of, families=both)) as resolverd:
        resolverd.wait_addresses(ONE)


@pytest.mark.slow
def test_a_server_stays_for_hold_timeout_with_a_type_that_falls_silent(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "AAAA", SIX)
    nameserver.set("app.test", "A", ONE)
    of = resolution_settings(servers(1), Family.IPV6)
    both = (Family.IPV4, Family.IPV6)
    section = section_of(nameserver, Holds(timeout_ms=2_000))
    with ResolverdProcess(settings_of(section, of, families=both)) as resolverd:
        resolverd.wait_addresses(SIX)
        nameserver.set("app.test", "AAAA", SILENT)
        asked = len(nameserver.queries)

        def asks_a() -> bool:
            return any(query.rtype == "A" for query in nameserver.queries[asked:])

        resolverd.wait(asks_a, "a question for the other type")
        assert resolverd.addresses() == [SIX]
        resolverd.wait_addresses(ONE)
        assert not any("going DOWN" in line for line in resolverd.log_lines())
