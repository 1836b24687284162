"""Nameservers that do not know EDNS, over real sockets: asked once more without, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import pytest

from resolverd.config import Nameserver, Transport
from resolverd.dns.answer import Status
from resolverd.dns.extensions import PLAIN_MS, Extensions
from tests.support.dns.scripted import ScriptedNameserver, build_reply, forged, records
from tests.support.dns.transport import Shell, shells_closed

REFUSALS = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
LINE = (
    "nameserver r1/ns0 refuses questions with EDNS and answers without: it is asked without, "
    "512 bytes at most a reply over UDP."
)


@pytest.fixture
def shells() -> Iterator[Callable[..., Shell]]:
    with shells_closed() as make:
        yield make


def refusal(query: dns.message.Message, rcode: dns.rcode.Rcode, *, bare: bool = False) -> bytes:
    reply = dns.message.make_response(query)
    reply.set_rcode(rcode)
    if bare:
        reply.question.clear()
        reply.use_edns(False)
    return reply.to_wire()


def old(rcode: dns.rcode.Rcode, *, bare: bool = False) -> Callable[..., list[bytes]]:
    """A nameserver that answers only what has no OPT record."""

    def answer(query: dns.message.Message) -> list[bytes]:
        if query.edns >= 0:
            return [refusal(query, rcode, bare=bare)]
        return [build_reply(query, records("127.0.1.1"))]

    return answer


@pytest.mark.parametrize("over", list(Transport))
@pytest.mark.parametrize("rcode", REFUSALS)
def test_a_refusal_of_edns_is_followed_by_the_same_question_without(
    shells: Callable[..., Shell], rcode: dns.rcode.Rcode, over: Transport
) -> None:
    with ScriptedNameserver(tcp=True) as nameserver:
        for carrier in ("udp", "tcp"):
            nameserver.set("app.test", "A", forged(old(rcode)), over=carrier)
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port, over))
        for key in range(3):
            shell.ask(key)
            shell.until(lambda count=key + 1: len(shell.delivered) == count)
        assert [answer.status for *_, answer in shell.delivered] == [Status.VALID] * 3
        # remembered: only the first question went out twice
        assert [query.payload for query in nameserver.queries] == [512, None, None, None]
        assert shell.counters == {"0.sent": 4, "0.other": 1, "0.valid": 3}
        assert shell.log == [LINE]


def test_a_bare_header_says_so_as_well(shells: Callable[..., Shell]) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", forged(old(dns.rcode.FORMERR, bare=True)))
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        shell.ask()
        shell.until(lambda: shell.delivered)
        assert shell.delivered[0][3].status is Status.VALID


def test_who_refuses_all_is_asked_twice_and_nothing_is_said_of_edns(
    shells: Callable[..., Shell],
) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", forged(lambda query: [refusal(query, dns.rcode.FORMERR)]))
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        for key in range(2):
            shell.ask(key)
            shell.until(lambda count=key + 1: len(shell.delivered) == count)
        assert [answer.status for *_, answer in shell.delivered] == [Status.OTHER] * 2
        assert [query.payload for query in nameserver.queries] == [512, None] * 2
        assert shell.log == []


def test_a_cut_answer_of_such_a_nameserver_comes_whole_over_tcp(
    shells: Callable[..., Shell],
) -> None:
    many = records(*[f"127.0.1.{number}" for number in range(1, 101)])

    def over_udp(query: dns.message.Message) -> list[bytes]:
        if query.edns >= 0:
            return [refusal(query, dns.rcode.FORMERR)]
        wire = build_reply(query, records())
        return [wire[:2] + bytes([wire[2] | 0x02]) + wire[3:]]

    with ScriptedNameserver(tcp=True) as nameserver:
        nameserver.set("app.test", "A", forged(over_udp))
        nameserver.set("app.test", "A", many, over="tcp")
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        shell.ask()
        shell.until(lambda: shell.delivered)
        assert len(shell.delivered[0][3].addresses) == 100
        assert [(each.over, each.payload) for each in nameserver.queries] == [
            ("udp", 512),
            ("udp", None),
            ("tcp", None),
        ]


def test_after_some_minutes_the_record_is_tried_again() -> None:
    extensions, nameserver = Extensions(), Nameserver("ns0", "127.0.0.1")
    assert extensions.may_be_used(nameserver, 1_000)
    assert extensions.needless(nameserver, 1_000)
    assert not extensions.may_be_used(nameserver, 1_000 + PLAIN_MS - 1)
    assert extensions.may_be_used(nameserver, 1_000 + PLAIN_MS)
    assert not extensions.needless(nameserver, 1_000 + PLAIN_MS)  # told already
