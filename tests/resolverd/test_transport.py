"""The transport against real nameservers on loopback: matching, ids, ports and counters."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import pytest

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer, Status
from resolverd.transport import udp
from tests.support.common import free_port
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import NX, SILENT, ScriptedNameserver, build_reply, forged, records
from tests.support.dns.transport import Shell, shells_closed


@pytest.fixture
def shells() -> Iterator[Callable[..., Shell]]:
    with shells_closed() as make:
        yield make


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        started.set("app.test", "A", "127.0.1.1")
        yield started


def line(nameserver: ScriptedNameserver, index: int = 0) -> Nameserver:
    return Nameserver(f"ns{index}", nameserver.host, nameserver.port, index=index)


def test_all_nameservers_are_asked_each_under_its_own_id_and_port(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(*[line(nameserver, index) for index in range(3)])
    assert shell.ask() == []
    shell.until(lambda: len(shell.delivered) == 3)
    assert {(name, answer.status) for _, name, _, answer in shell.delivered} == {
        (f"ns{index}", Status.VALID) for index in range(3)
    }
    asked = nameserver.queries
    assert len({query.source for query in asked}) == 3
    assert len({query.id for query in asked}) > 1
    assert all(query.payload == 512 and query.recursion_desired for query in asked)
    assert shell.counters == {f"{i}.{name}": 1 for i in range(3) for name in ("sent", "valid")}


def test_ids_and_ports_vary_from_query_to_query(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(line(nameserver))
    for key in range(200):
        shell.ask(key)
    shell.until(lambda: len(shell.delivered) == 200)
    asked = nameserver.queries
    assert len({query.source for query in asked}) == udp.SOCKETS_MAX
    assert len({query.id for query in asked}) > 190


def wrong_id(query: dns.message.Message) -> bytes:
    wire = build_reply(query, records("127.9.9.9"))
    return (query.id ^ 1).to_bytes(2, "big") + wire[2:]


def other_name(query: dns.message.Message) -> bytes:
    return build_reply(query, NX).replace(b"\x03app", b"\x03apq")


def not_a_reply(query: dns.message.Message) -> bytes:
    wire = build_reply(query, NX)
    return wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:]


def too_big(query: dns.message.Message) -> bytes:
    wire = build_reply(query, records(*[f"127.9.{n}.9" for n in range(40)]))
    return (query.id ^ 1).to_bytes(2, "big") + wire[2:]


def test_what_does_not_match_is_counted_and_ends_nothing(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    hostile = (wrong_id, other_name, not_a_reply, too_big)
    noise = [b"", b"\x00", b"\x00" * 11]
    good = records("127.0.1.1")

    def answer(query: dns.message.Message) -> list[bytes]:
        return [each(query) for each in hostile] + noise + [build_reply(query, good)]

    nameserver.set("app.test", "A", forged(answer))
    shell = shells(line(nameserver))
    shell.ask()
    shell.until(lambda: shell.delivered)
    assert [reply[3] for reply in shell.delivered] == [Answer(Status.VALID, addresses("127.0.1.1"))]
    expected = {"sent": 1, "outdated": 1, "invalid": 5, "too_big": 1, "valid": 1}
    assert shell.counters == {f"0.{name}": count for name, count in expected.items()}


def test_a_reply_from_another_address_never_arrives(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", SILENT)
    shell = shells(line(nameserver))
    shell.ask()
    (query,) = nameserver.wait_queries(1)
    asked = dns.message.make_query("app.test", "A", use_edns=0, id=query.id)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.sendto(build_reply(asked, records("127.9.9.9")), query.source)
    nameserver.set("app.test", "A", "127.0.1.1")
    shell.ask(1)
    shell.until(lambda: shell.delivered)
    assert [reply[0] for reply in shell.delivered] == [1]


def test_a_second_reply_and_one_after_the_run_are_outdated(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", forged(lambda query: [build_reply(query, NX)] * 2))
    shell = shells(line(nameserver))
    shell.ask()
    shell.until(lambda: shell.counters["0.outdated"] == 1)
    assert shell.counters["0.nx"] == 1
    shell.ask(1)
    shell.transport.close_run(1)
    shell.until(lambda: shell.counters["0.outdated"] == 3)
    assert [reply[0] for reply in shell.delivered] == [0]
    shell.transport.close_run(0)
    assert not shell.transport._open


def test_aliases_are_counted_beside_the_valid_answer(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", records("127.0.1.1", aliases=("real.test",)))
    shell = shells(line(nameserver))
    shell.ask()
    shell.until(lambda: shell.delivered)
    assert shell.counters == {"0.sent": 1, "0.valid": 1, "0.cname": 1}


def test_an_unanswered_query_changes_the_port_and_is_still_read(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "SOCKETS_MAX", 1)
    nameserver.set("app.test", "A", records("127.0.1.1", delay_s=0.1))
    shell = shells(line(nameserver))
    shell.ask()
    shell.transport.unanswered(0, ("ns0",))
    shell.ask()
    shell.until(lambda: len(shell.delivered) == 2)
    first, second = nameserver.queries
    assert first.source != second.source
    assert shell.counters == {"0.sent": 2, "0.timeout": 1, "0.valid": 2}


def test_a_run_without_end_keeps_a_bounded_number_of_ports(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", SILENT)
    shell = shells(line(nameserver))
    shell.ask()
    for _ in range(200):
        shell.transport.unanswered(0, ("ns0",))
        shell.ask()
    open_sockets = [each for each in Path("/proc/self/fd").iterdir() if each.is_socket()]
    assert len(open_sockets) < 100


def test_a_nameserver_that_cannot_be_reached_counts_send_errors(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(
        Nameserver("nobody", "127.0.0.1", free_port()),
        Nameserver("forbidden", "255.255.255.255", index=1),  # EACCES without SO_BROADCAST
        line(nameserver, 2),
    )
    for key in range(40):
        assert "forbidden" in shell.ask(key)
    shell.until(lambda: len(shell.delivered) == 40)
    shell.until(lambda: shell.counters["0.snd_error"] == 40 == shell.counters["1.snd_error"])
    assert shell.counters["0.sent"] == 40
