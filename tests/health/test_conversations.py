"""Checks that an option fixes, without sockets: any reply, in any pieces, ends in one result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.checks import (
    LdapCheck,
    MysqlCheck,
    PgsqlCheck,
    SmtpCheck,
    SslHelloCheck,
)
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.conversation import ConversationRun
from proxy.health.dialect.dialects import Dialects
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Ended,
    Expect,
    Moment,
    Received,
    Result,
    Send,
    Subject,
)
from proxy.health.dialect.tls_hello import client_hello
from shm.check_status import CheckStatus
from tests.health.test_script import ends, obey

RULES = {
    "smtp": SmtpCheck(),
    "mysql": MysqlCheck(),
    "login": MysqlCheck("bob"),
    "pgsql": PgsqlCheck("bob"),
    "ldap": LdapCheck(),
    "tls": SslHelloCheck(),
}
VERSION = b"\x0e\0\0\0\x0a8.0.1\0\1\0\0\0abc"
LOGGED_IN = b"\7\0\0\2\0\0\0\2\0\0\0"
DENIED = b"\x09\0\0\2\xff\x15\x04denied"
BOUND = bytes.fromhex("300c02010161070a010004000400")
MAIL = (b"220 mx\r\n", b"250-mx\r\n250 HELP\r\n", b"221 bye\r\n")


NOBODY = Subject(lambda _: False, lambda _: "")


def run(name: str) -> ConversationRun:
    dialect = Dialects().of(RULES[name], 0, ProxyHeader.NONE, NOBODY)()
    assert isinstance(dialect, ConversationRun)
    return dialect


def told(check: ConversationRun, replies: Iterator[bytes]) -> tuple[Result, list[bytes]]:
    """The result of a server that says these, each when it has heard the one before."""
    answer: Answer = check.answer(Moment.CONNECTED)
    sent = []
    said = b""
    while not isinstance(answer, Result):
        if isinstance(answer, Send):
            sent.append(answer.data)
            answer, said = check.answer(Moment.SENT), b""
            continue
        assert isinstance(answer, Expect)
        said = said or next(replies, b"")
        answer = check.answer(Received(said[:1]) if said else Ended(b"", 0))
        said = said[1:]
    return answer, sent


@pytest.mark.parametrize(
    ("name", "replies", "status", "code", "sent"),
    [
        ("smtp", MAIL, CheckStatus.L7OK, 221, 2),
        ("smtp", (b"421 no\r\n",), CheckStatus.L7STS, 421, 0),
        ("smtp", (b"220-a\r\n220 b\r\n",), CheckStatus.L7RSP, 0, 0),
        ("smtp", (MAIL[0], b"550 no\r\n"), CheckStatus.L7STS, 550, 1),
        ("smtp", (*MAIL[:2], b"500 no\r\n"), CheckStatus.L7STS, 500, 2),
        ("mysql", (VERSION,), CheckStatus.L7OK, 0, 0),
        ("mysql", (DENIED,), CheckStatus.L7STS, 1045, 0),
        ("mysql", (VERSION[:-1],), CheckStatus.L7RSP, 0, 0),
        ("login", (VERSION + LOGGED_IN,), CheckStatus.L7OK, 0, 1),
        ("login", (VERSION + DENIED,), CheckStatus.L7STS, 1045, 1),
        ("login", (DENIED,), CheckStatus.L7STS, 1045, 1),
        ("login", (VERSION,), CheckStatus.L7RSP, 0, 1),
        ("pgsql", (b"R\0\0\0\x08\0\0\0\0",), CheckStatus.L7OK, 0, 1),
        ("pgsql", (b"R\0\0\0\x08\0\0\0\1",), CheckStatus.L7STS, 0, 1),
        ("pgsql", (b"E\0\0\0\x0cSFATAL\0\0",), CheckStatus.L7RSP, 0, 1),
        ("ldap", (BOUND,), CheckStatus.L7OK, 0, 1),
        ("ldap", (BOUND.replace(b"\x0a\1\0", b"\x0a\1\x31"),), CheckStatus.L7STS, 49, 1),
        ("ldap", (b"HTTP/1.1 400 bad\r\n",), CheckStatus.L7RSP, 0, 1),
        ("tls", (b"\x15\3\0\0\2\2\x28",), CheckStatus.L6OK, 0, 1),
        ("tls", (b"HTTP/1.1",), CheckStatus.L6RSP, 0, 1),
    ],
)
def test_a_reply_byte_by_byte_means_the_same(
    name: str, replies: tuple[bytes, ...], status: CheckStatus, code: int, sent: int
) -> None:
    result, messages = told(run(name), iter(replies))
    assert (result.status, result.code, len(messages)) == (status, code, sent)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("smtp", Connect(quick_ack=True, reset_on_close=False)),
        ("mysql", Connect(quick_ack=True, reset_on_close=False)),
        ("login", Connect(quick_ack=False, reset_on_close=False)),
        ("pgsql", Connect(quick_ack=False, reset_on_close=False)),
        ("ldap", Connect(quick_ack=False, reset_on_close=True)),
        ("tls", Connect(quick_ack=False, reset_on_close=True)),
    ],
)
def test_a_connection_is_as_the_protocol_wants_it(name: str, first: Connect) -> None:
    assert run(name).first == first


def test_what_is_beyond_the_bytes_that_came_is_not_read() -> None:
    """HAProxy looks at what its buffer had before."""
    for data, expected in {
        b"\2\0\0\0\xff\x15": Result(CheckStatus.L7STS, 0x15),
        b"\1\0\0\0\xff": Result(CheckStatus.L7STS),
        b"\0\0\0\0": Result(CheckStatus.L7OK),
    }.items():
        check = run("mysql")
        check.answer(Moment.CONNECTED)
        assert check.answer(Received(data)) == expected
    check = run("ldap")
    check.answer(Moment.CONNECTED)
    check.answer(Moment.SENT)
    cut = bytes.fromhex("300c020101618500000000030a01")
    assert check.answer(Received(cut)) == Result(CheckStatus.L7RSP, 0, "Not LDAPv3 protocol")


def test_a_code_has_no_sign() -> None:
    """HAProxy shows -25536, and 4294941760 in its statistics."""
    check = run("mysql")
    check.answer(Moment.CONNECTED)
    assert check.answer(Received(b"\3\0\0\0\xff\x40\x9c")) == Result(CheckStatus.L7STS, 40_000)


def test_each_hello_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hellos = []
    factory = Dialects().of(SslHelloCheck(), 0, ProxyHeader.NONE, NOBODY)
    for now in (0, 2**31 + 5):
        monkeypatch.setattr("proxy.health.dialect.dialects.time.time", lambda now=now: now + 0.9)
        hellos.append(factory().answer(Moment.CONNECTED))
    assert hellos == [Send(client_hello(0)), Send(client_hello(2**31 + 5))]
    assert client_hello(2**31 + 5)[11:15] == b"\x80\0\0\5"


heads = st.sampled_from(
    [*MAIL, b"250-", VERSION, LOGGED_IN, DENIED, BOUND, BOUND[:5], b"\x30\x84", b"E", b"R\0\0\0"]
)
parts: st.SearchStrategy[list[bytes]] = st.lists(
    st.binary(min_size=1, max_size=6) | heads | st.just(b"2" * 9_000), max_size=8
)


@pytest.mark.parametrize("name", RULES)
def test_any_reply_to_a_named_check_ends_in_one_result(name: str) -> None:
    @given(parts, ends)
    def ends_once(pieces: list[bytes], end: Moment | Ended) -> None:
        check = run(name)
        result = obey(check, check.answer(Moment.CONNECTED), list(pieces), end)
        assert result.status in CheckStatus
        assert 0 <= result.code < 2**16
        assert len(check._data) <= RECEIVED_MAX

    every: Callable[[], None] = ends_once
    every()
