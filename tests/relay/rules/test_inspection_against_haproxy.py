"""Rules that wait for bytes do what HAProxy's do: clients, log lines, counters."""

from __future__ import annotations

import pytest

from tests.support.relay.rule_cases import (
    HELLO,
    SERVERS,
    TWO,
    Case,
    Finish,
    Hear,
    Met,
    Pause,
    Reset,
    front,
    met_by_both,
    rules,
)

FIVE_BYTES = (
    "tcp-request content accept if { req.len ge 5 }",
    "tcp-request content reject",
)
CASES = [
    Case(
        "drop content",
        rules(
            "tcp-request inspect-delay 30s", "tcp-request content silent-drop if { req.len ge 5 }"
        ),
        (b"hello",),
    ),
    Case(
        "drop content of a backend",
        "  default_backend <other>\n",
        (b"hello",),
        "\nbackend <other>\n  tcp-request inspect-delay 30s\n"
        "  tcp-request content silent-drop if { req.len ge 5 }\n  server s2 <s2>\n",
    ),
    Case(
        "reject content of a backend",
        "  default_backend <other>\n",
        (b"hello",),
        "\nbackend <other>\n  tcp-request inspect-delay 30s\n"
        "  tcp-request content reject if { req.len ge 5 }\n  server s2 <s2>\n",
    ),
    Case(
        "silent until the delay",
        rules(
            "tcp-request inspect-delay 300ms",
            *FIVE_BYTES,
        ),
    ),
    Case(
        "too few until the delay",
        rules(
            "tcp-request inspect-delay 300ms",
            *FIVE_BYTES,
        ),
        (b"abc",),
    ),
    Case(
        "too few, and the end",
        rules(
            "tcp-request inspect-delay 30s",
            *FIVE_BYTES,
        ),
        (b"abc", Finish()),
    ),
    Case(
        "too few, and broken",
        rules(
            "tcp-request inspect-delay 30s",
            *FIVE_BYTES,
        ),
        (b"abc", Pause(0.1), Reset()),
    ),
    Case(
        "nothing, and the end",
        rules(
            "tcp-request inspect-delay 30s",
            *FIVE_BYTES,
        ),
        (Finish(),),
    ),
    Case(
        "enough in pieces",
        rules(
            "tcp-request inspect-delay 30s",
            *FIVE_BYTES,
        ),
        (b"he", Pause(0.05), b"ll", Pause(0.05), b"o", Hear(b"hello"), Finish()),
    ),
    Case(
        "timeout client is over first",
        rules(
            "timeout client 400ms",
            "tcp-request inspect-delay 30s",
            *FIVE_BYTES,
        ),
        (b"abc",),
    ),
    Case(
        "more than is looked at",
        rules(
            "tcp-request inspect-delay 30s",
            "tcp-request content accept if { req.len ge 15361 }",
            "tcp-request content reject if { req.len ge 15360 }",
        ),
        (b"x" * 40_000,),
    ),
    Case(
        "no delay looks at what is there",
        rules("tcp-request content reject if { req.len ge 5 }"),
        (Hear(b"one:"), *HELLO),
    ),
    Case(
        "by bytes",
        front(
            "tcp-request inspect-delay 30s",
            "tcp-request content accept if { req.len ge 4 }",
            "use_backend x<other> if { req.payload(0,0) -m beg GET }",
        ),
        (b"GET /", Hear(b"GET /"), Finish()),
        others="\nbackend x<other>\n  server s1 <s1>\n" + TWO,
    ),
    Case(
        "by other bytes",
        front(
            "tcp-request inspect-delay 30s",
            "tcp-request content accept if { req.len ge 4 }",
            "use_backend x<other> if { req.payload(0,0) -m beg GET }",
        ),
        (b"PUT /", Hear(b"PUT /"), Finish()),
        others="\nbackend x<other>\n  server s1 <s1>\n" + TWO,
    ),
    Case(
        "refused by the backend",
        front("tcp-request inspect-delay 30s", "tcp-request content accept if { req.len ge 4 }"),
        (b"GET /",),
        others="\nbackend <other>\n  tcp-request content reject if { req.len 5 }\n  server s2 <s2>",
    ),
    Case(
        "the backend waits, too",
        front("tcp-request inspect-delay 30s", "tcp-request content accept if { req.len ge 2 }"),
        (b"abc", Pause(0.1), b"def", Hear(b"two:abcdef"), Finish()),
        others="\nbackend <other>\n  tcp-request inspect-delay 30s\n"
        "  tcp-request content accept if { req.len ge 6 }\n"
        "  tcp-request content reject\n  server s2 <s2>\n",
    ),
    *(
        Case(f"response: {name}", "".join(f"  {line}\n" for line in lines) + SERVERS, steps)
        for name, lines, steps in (
            (
                "refused when it has spoken",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content reject if { res.len ge 4 }",
                ),
                (),
            ),
            (
                "too few until the delay",
                (
                    "tcp-response inspect-delay 300ms",
                    "tcp-response content accept if { res.len ge 10 }",
                    "tcp-response content reject",
                ),
                (),
            ),
            (
                "enough in pieces",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content accept if { res.len ge 10 }",
                    "tcp-response content reject",
                ),
                (b"he", Pause(0.05), b"llo world", Hear(b"one:hello world"), Finish()),
            ),
            (
                "the client finishes first",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content reject unless { res.len ge 10 }",
                ),
                (b"h", Pause(0.2), Finish()),
            ),
            (
                "the server is silent for too long",
                (
                    "timeout server 400ms",
                    "tcp-response inspect-delay 30s",
                    "tcp-response content reject unless { res.len ge 10 }",
                ),
                (),
            ),
            (
                "dropped",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content silent-drop if { res.len ge 9 }",
                ),
                (b"hello",),
            ),
            (
                "closed",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content close if { res.len ge 9 }",
                ),
                (b"hello",),
            ),
            (
                "by what it says",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content reject if { res.payload(0,4) -m str two: }",
                    "tcp-response content accept if { res.payload(0,4) -m str one: }",
                ),
                HELLO,
            ),
            (
                "too much",
                (
                    "tcp-response inspect-delay 30s",
                    "tcp-response content accept if { res.len ge 15361 }",
                    "tcp-response content accept if { res.len ge 15360 }",
                    "tcp-response content reject",
                ),
                (b"x" * 40_000, Hear(b"x" * 40_000), Finish()),
            ),
        )
    ),
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    return met_by_both(CASES, tmp_path_factory.mktemp("rules"))


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_client_meets_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name] == met["haproxy"][name]
