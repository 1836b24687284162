"""Rules of connections do to clients what HAProxy's do: what these hear, log lines, counters."""

from __future__ import annotations

import pytest

from tests.support.relay.rule_cases import (
    HELLO,
    TWO,
    Case,
    Finish,
    Hear,
    Met,
    front,
    met_by_both,
    rules,
)

CASES = [
    Case("no condition", rules("tcp-request connection reject")),
    Case("bytes are refused, too", rules("tcp-request connection reject"), (b"hello",)),
    Case("source", rules("tcp-request connection reject if { src 127.0.0.0/8 }")),
    Case("a truth has no pattern", rules("tcp-request connection reject if { always_true 0 }")),
    Case("nor has a lie", rules("tcp-request connection reject if { always_false 0 }"), HELLO),
    Case("other source", rules("tcp-request connection reject if { src 127.0.0.9 }"), HELLO),
    Case(
        "from there",
        rules("tcp-request connection reject if { src 127.0.0.9 }"),
        source="127.0.0.9",
    ),
    Case("unless", rules("tcp-request connection reject unless { src 127.0.0.9 }")),
    Case(
        "the first that holds",
        rules(
            "tcp-request connection accept if { src 127.0.0.1 }", "tcp-request connection reject"
        ),
        HELLO,
    ),
    Case("where it came to", rules("tcp-request connection reject if { dst 127.0.0.1 }")),
    Case(
        "named lists",
        rules(
            "acl here src 127.0.0.1",
            "acl there dst 127.0.0.9",
            "acl there dst 127.0.0.8",
            "tcp-request connection accept if !here",
            "tcp-request connection accept if here there",
            "tcp-request connection reject if there or here !there",
        ),
    ),
    Case("session", rules("tcp-request session reject if { src 127.0.0.1 }")),
    Case(
        "session accepts", rules("tcp-request session accept", "tcp-request session reject"), HELLO
    ),
    Case("content", rules("tcp-request content reject")),
    Case("drop connection", rules("tcp-request connection silent-drop")),
    Case("drop session", rules("tcp-request session silent-drop")),
    Case("to none", "  use_backend <other> if { src 127.0.0.9 }", others=TWO),
    Case(
        "a server by rule",
        rules("use-server s2 if { src 127.0.0.1 }", "server s2 <s2>"),
        HELLO,
    ),
    Case(
        "a server that is away",
        rules(
            "use-server s3 if { src 127.0.0.1 }",
            "use-server s2 unless { src 127.0.0.9 }",
            "server s2 <s2>",
            "server s3 <s2> disabled",
        ),
        HELLO,
    ),
    Case(
        "no server by rule",
        rules("use-server s2 if { src 127.0.0.9 }", "server s2 <s2> weight 0"),
        HELLO,
    ),
    Case(
        "a PROXY header of some",
        front("tcp-request connection expect-proxy layer4 if { src 127.0.0.9 }"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello", Hear(b"hello"), Finish()),
        others=TWO,
        source="127.0.0.9",
    ),
    Case(
        "no PROXY header of others",
        front("tcp-request connection expect-proxy layer4 if { src 127.0.0.9 }"),
        HELLO,
        others=TWO,
    ),
    Case(
        "session rules know the header",
        front(
            "tcp-request connection expect-proxy layer4",
            "tcp-request session reject if { src 1.2.3.4 }",
        ),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",),
        others=TWO,
    ),
    Case(
        "connection rules do not",
        front(
            "tcp-request connection expect-proxy layer4",
            "tcp-request connection reject if { src 1.2.3.4 }",
        ),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello", Hear(b"hello"), Finish()),
        others=TWO,
    ),
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    return met_by_both(CASES, tmp_path_factory.mktemp("rules"))


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_client_meets_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name] == met["haproxy"][name]
