"""What resolverd logs about servers: HAProxy's words, and its levels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resolverd.config import Holds, Nameserver, ResolverdSettings, ResolversSection
from tests.support.common import wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import NODATA, NX, ScriptedNameserver

ONE, TWO = "127.0.1.1", "127.0.1.2"


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def of_servers(nameserver: ScriptedNameserver, count: int, holds: Holds) -> ResolverdSettings:
    section = ResolversSection(
        name="r1",
        nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
        resolve_retries=1,
        timeout_resolve_ms=200,
        timeout_retry_ms=200,
        holds=holds,
    )
    return settings_of(section, resolution_settings(servers(count)))


@pytest.mark.slow
def test_the_log_says_what_haproxy_says(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    with ResolverdProcess(of_servers(nameserver, 1, Holds(nx_ms=0))) as resolverd:
        resolverd.wait_addresses(ONE)
        nameserver.set("app.test", "A", TWO)
        resolverd.wait_addresses(TWO)
        nameserver.set("app.test", "*", NX)
        resolverd.wait_addresses(None)
        wait_for(lambda: len(resolverd.log_lines()) == 6, 5, "six log lines")
        assert resolverd.log_lines() == [
            f"<5> be0/s1: IP changed from '(none)' to '{ONE}' by 'r1/ns1'.",
            "<5> Server be0/s1 ('app.test') is UP/READY (resolves again).",
            "<5> Server be0/s1 administratively READY thanks to valid DNS answer.",
            f"<5> be0/s1: IP changed from '{ONE}' to '{TWO}' by 'r1/ns1'.",
            "<1> Server be0/s1 is going DOWN for maintenance (DNS NX status). 0 active and 0 backup "
            "servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "<0> backend be0 has no server available!",
        ]
        assert resolverd.counters()["update"] == 2


@pytest.mark.slow
def test_a_backend_is_called_empty_only_when_its_last_server_goes(
    nameserver: ScriptedNameserver,
) -> None:
    empty = "<0> backend be0 has no server available!"
    nameserver.set("app.test", "A", [ONE, TWO])
    with ResolverdProcess(of_servers(nameserver, 2, Holds(other_ms=0))) as resolverd:
        resolverd.wait_addresses(ONE, TWO)
        nameserver.set("app.test", "A", TWO)
        resolverd.wait_addresses(None, TWO)
        runs = resolverd.record()["runs"]
        resolverd.wait(lambda: resolverd.record()["runs"] > runs, "one more run")
        assert empty not in resolverd.log_lines()
        nameserver.set("app.test", "*", NODATA)
        wait_for(lambda: empty in resolverd.log_lines(), 5, "the line about an empty backend")


class Noted(ResolverdProcess):
    """One that notes in its log when it rings."""

    def _ring(self) -> None:
        self._write_log(7, "ring")
        super()._ring()


@pytest.mark.slow
def test_workers_are_told_before_the_log_is(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    with Noted(of_servers(nameserver, 1, Holds())) as resolverd:
        resolverd.wait_addresses(ONE)
        wait_for(lambda: len(resolverd.log_lines()) == 4, 5, "a ring and three lines")
        assert resolverd.log_lines()[0] == "<7> ring"
