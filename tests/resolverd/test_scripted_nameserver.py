"""The scripted nameserver answers as scripted: every other DNS test stands on it."""

from __future__ import annotations

import socket
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    Answer,
    ScriptedNameserver,
    delayed,
    forged,
    records,
)


def ask(nameserver: ScriptedNameserver, name: str, rtype: str) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1400)
    return dns.query.udp(query, nameserver.host, port=nameserver.port, timeout=PATIENCE_SECONDS)


def addresses(reply: dns.message.Message) -> list[str]:
    return sorted(str(item) for rrset in reply.answer for item in rrset)


def test_records_are_answered_and_may_change_while_it_runs() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", ["127.0.1.1", "127.0.1.2"])
        assert addresses(ask(nameserver, "App.Test", "A")) == ["127.0.1.1", "127.0.1.2"]
        nameserver.set("app.test", "A", "127.0.1.3")
        assert addresses(ask(nameserver, "app.test", "A")) == ["127.0.1.3"]


@pytest.mark.parametrize(
    ("answer", "rcode"),
    [
        (NX, dns.rcode.NXDOMAIN),
        (REFUSED, dns.rcode.REFUSED),
        (SERVFAIL, dns.rcode.SERVFAIL),
        (NODATA, dns.rcode.NOERROR),
    ],
)
def test_errors_are_answered_with_their_code(answer: Answer, rcode: dns.rcode.Rcode) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "*", answer)
        reply = ask(nameserver, "app.test", "AAAA")
        assert reply.rcode() == rcode
        assert not reply.answer


def test_a_name_without_a_script_does_not_exist_and_another_type_has_no_data() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", "127.0.1.1")
        assert ask(nameserver, "other.test", "A").rcode() == dns.rcode.NXDOMAIN
        assert ask(nameserver, "app.test", "AAAA").rcode() == dns.rcode.NOERROR


def test_truncated_aliased_delayed_and_forged_answers() -> None:
    with ScriptedNameserver("127.0.0.9") as nameserver:
        nameserver.set("cut.test", "A", TRUNCATED)
        nameserver.set("alias.test", "A", records("127.0.1.1", aliases=("real.test",)))
        nameserver.set("slow.test", "A", delayed(records("127.0.1.1"), 0.2))
        nameserver.set("odd.test", "A", forged(lambda query: [query.to_wire()[:2] + bytes(10)]))
        assert ask(nameserver, "cut.test", "A").flags & dns.flags.TC
        assert addresses(ask(nameserver, "alias.test", "A")) == ["127.0.1.1", "real.test."]
        started = time.monotonic()
        ask(nameserver, "slow.test", "A")
        assert time.monotonic() - started >= 0.2
        with pytest.raises(dns.exception.DNSException):
            ask(nameserver, "odd.test", "A")


def test_queries_are_logged_and_silence_is_silent() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "*", SILENT)
        query = dns.message.make_query("app.test", "A", use_edns=0, payload=1400)
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(query, nameserver.host, port=nameserver.port, timeout=0.1)
        (seen,) = nameserver.wait_queries(1, "app.test", "A")
        assert (seen.id, seen.payload, seen.recursion_desired) == (query.id, 1400, True)


def test_a_query_is_logged_with_the_time_at_which_it_came_however_late_it_is_read() -> None:
    nameserver = ScriptedNameserver()
    time.sleep(0.1)  # the kernel begins to stamp datagrams a moment after it is told to
    query = dns.message.make_query("app.test", "A")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        before = time.monotonic()
        asking.sendto(query.to_wire(), (nameserver.host, nameserver.port))
        after = time.monotonic()
    wait_for(lambda: time.monotonic() > after + 0.2, 1, "time goes by")
    with nameserver:
        (seen,) = nameserver.wait_queries(1)
    assert before - 0.05 < seen.at < after + 0.05, "the kernel has another clock"


def test_what_came_before_the_log_was_emptied_is_not_in_it_though_it_is_read_later() -> None:
    nameserver = ScriptedNameserver()
    time.sleep(0.1)  # as above
    query = dns.message.make_query("app.test", "A")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(query.to_wire(), (nameserver.host, nameserver.port))
        time.sleep(0.01)  # clocks of the kernel
        nameserver.forget()
        with nameserver:
            ask(nameserver, "later.test", "A")
            assert [seen.name for seen in nameserver.queries] == ["later.test"]
