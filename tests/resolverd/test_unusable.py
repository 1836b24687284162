"""Addresses that no server can have: left out of answers, counted, told once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from resolverd.config import Holds, Nameserver, ResolversSection
from resolverd.dns.answer import QueryType, Question, Status
from resolverd.dns.unusable import is_usable
from tests.support.common import wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import ScriptedNameserver, services
from tests.support.dns.transport import Shell, shells_closed

LABEL = Question("_s._tcp.app.test", QueryType.SRV)
LINE = (
    "nameserver {} answers {} for '{}': no server can have such an address, it is left out. A "
    "resolver that blocks names answers so. (Told once of each nameserver; `show resolvers` counts "
    "them as unusable.)"
)


@pytest.fixture
def shells() -> Iterator[Callable[..., Shell]]:
    with shells_closed() as make:
        yield make


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


IMPOSSIBLE = """0.0.0.0 0.0.0.1 224.0.0.1 239.255.255.255 255.255.255.255 :: ff02::1 fe80::1 febf::1
::ffff:0.0.0.0 ::ffff:224.0.0.1"""
POSSIBLE = """127.0.0.1 1.0.0.0 223.255.255.255 240.0.0.1 255.255.255.254 ::1 ::ffff:127.0.0.1 ::2
fec0::1 fe00::1 2001:db8::"""


@pytest.mark.parametrize("text", IMPOSSIBLE.split())
def test_no_server_has(text: str) -> None:
    assert not is_usable(packed(text))


@pytest.mark.parametrize("text", POSSIBLE.split())
def test_a_server_may_have(text: str) -> None:
    assert is_usable(packed(text))


def test_they_are_left_out_counted_and_told_once(shells: Callable[..., Shell]) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", ["0.0.0.0", "127.0.1.1", "224.0.0.1"])
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        for key in range(2):
            shell.ask(key)
            shell.until(lambda count=key + 1: len(shell.delivered) == count)
        for *_, answer in shell.delivered:
            assert [address.text for address in answer.addresses] == ["127.0.1.1"]
        assert shell.counters == {"0.sent": 2, "0.valid": 2, "0.unusable": 4}
        # the nameserver's records come in any order
        lines = [LINE.format("r1/ns0", each, "app.test") for each in ("0.0.0.0", "224.0.0.1")]
        assert len(shell.log) == 1
        assert shell.log[0] in lines


def test_an_answer_of_nothing_else_is_invalid(shells: Callable[..., Shell]) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", "0.0.0.0")
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        shell.ask()
        shell.until(lambda: shell.delivered)
        assert shell.delivered[0][3].status is Status.INVALID
        assert shell.counters == {"0.sent": 1, "0.invalid": 1, "0.unusable": 1}


def test_an_additional_record_gives_no_such_address(shells: Callable[..., Shell]) -> None:
    """The target is asked for by itself then."""
    with ScriptedNameserver() as nameserver:
        script = services("1 80 a.test", "1 80 b.test", a_test="0.0.0.0", b_test="127.0.1.2")
        nameserver.set(LABEL.name, "SRV", script)
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        shell.ask(question=LABEL)
        shell.until(lambda: shell.delivered)
        found = shell.delivered[0][3].services
        assert {each.target: len(each.addresses) for each in found} == {"a.test": 0, "b.test": 1}
        assert shell.counters["0.unusable"] == 1


def test_a_blocked_name_keeps_its_server_for_the_hold_and_gives_none() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", "127.0.1.1")
        section = ResolversSection(
            name="r1",
            nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
            resolve_retries=1,
            timeout_resolve_ms=50,
            timeout_retry_ms=50,
            holds=Holds(other_ms=0),
        )
        with ResolverdProcess(settings_of(section, resolution_settings(servers(1)))) as resolverd:
            resolverd.wait_addresses("127.0.1.1")
            nameserver.set("app.test", "A", "0.0.0.0")
            resolverd.wait_addresses(None)
            wait_for(lambda: resolverd.counters()["unusable"] >= 3, 30, "refused addresses")
            line = LINE.format("r1/ns1", "0.0.0.0", "app.test")
            assert resolverd.log_lines().count(f"<4> {line}") == 1
