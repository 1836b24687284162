"""`use_backend %[...]`: the backend whose name a format says, at HAProxy and at Millrace.

Each client sends the name, or a ClientHello with it, whole or cut at each of its bytes.
"""

from __future__ import annotations

import pytest

from tests.support.content import hellos
from tests.support.relay.rule_cases import Case, Finish, Hear, Met, Pause, front, met_by_both

INSPECTED = ("tcp-request inspect-delay 500ms", "tcp-request content accept if {{ {} }}")


def inspected(condition: str, *lines: str) -> str:
    """Rules that wait until the condition holds."""
    delay, accept = INSPECTED
    return front(delay, accept.format(condition), *lines)


def backends(*names: str) -> str:
    """<other> on one server, all others on the second."""
    return "\nbackend <other>\n  server s1 <s1>\n" + "".join(
        f"\nbackend {name}\n  server s2 <s2>\n" for name in names
    )


def named(name: str, said: str, sent: bytes, *there: str, lines: tuple[str, ...] = ()) -> Case:
    """A client that sends these bytes first, of which the format says a name."""
    rules = inspected(f"req.len ge {len(sent)}", f"use_backend {said}", *lines)
    return Case(name, rules, (sent, Hear(b":"), Finish()), backends(*there))


def hello(name: str, said: str, server_name: bytes | None, *there: str) -> Case:
    first = hellos.modern(server_name) if server_name else hellos.of_python(None)
    rules = inspected("req.ssl_hello_type 1", f"use_backend {said}")
    return Case(name, rules, (first, Hear(b":"), Finish()), backends(*there))


WHOLE = "%[req.payload(0,0)]"
CASES = [
    named("all bytes", WHOLE, b"plain", "plain"),
    named("some bytes", "%[req.payload(1,3)]", b"xabcx", "abc"),
    named("text around", "bk-%[req.payload(0,0)]_1", b"x", "bk-x_1"),
    named("two values", "%[req.payload(0,1)].%[req.payload(1,1)]", b"ab", "a.b"),
    named("converters", "%[req.payload(0,0),lower,bytes(0,3)]", b"UPPER", "upp"),
    named("a number", "n%[req.payload(0,0),length]", b"12345", "n5"),
    named("an address", "%[src]", b"x", "127.0.0.1"),
    named("its network", "net_%[src,ipmask(8)]", b"x", "net_127.0.0.0"),
    named("an alias", "of_%ci", b"x", "of_127.0.0.1"),
    named("where it came to", "to_%[dst]", b"x", "to_127.0.0.1"),
    named("none of that name", WHOLE, b"nothere", "there"),
    named("a longer name", WHOLE, b"therethere", "there5"),
    named("much longer", WHOLE, b"n" * 9000, "nnn"),
    named("a shorter name", WHOLE, b"ther", "there6"),
    named("another case", WHOLE, b"THERE", "there7"),
    named("no line behind it counts", WHOLE, b"nothere", "next8", lines=("use_backend next8",)),
    named("no value", "%[req.payload(90,1)]", b"nothere", "-", "there9"),
    named("no value between texts", "pre%[req.payload(90,1)]post", b"x", "prepost"),
    named("quoted", "%{+Q}[req.payload(0,0)]", b"quoted", "quoted"),
    named("behind a NUL", WHOLE, b"nul\0behind", "nul"),
    named("a space", WHOLE, b"sp ace", "sp", "ace"),
    named("a frontend's", "f%[dst_port,mul(0)]", b"x", "there10"),
    Case(
        "a condition before it",
        inspected("req.len ge 1", f"use_backend {WHOLE} if {{ src 127.0.0.9 }}"),
        (b"unmet", Hear(b":"), Finish()),
        backends("unmet"),
    ),
    Case(
        "unless",
        inspected("req.len ge 1", f"use_backend {WHOLE} unless {{ src 127.0.0.9 }}"),
        (b"met", Hear(b":"), Finish()),
        backends("met"),
    ),
    Case(
        "nowhere",
        inspected("req.len ge 7", f"use_backend {WHOLE}").replace("  default_backend", "  #"),
        (b"nowhere",),
        backends(),
    ),
    hello("server name", "%[req.ssl_sni,lower]", b"Example.TEST", "example.test"),
    hello("part of it", "bk_%[req.ssl_sni,field(1,.)]", b"one.example.test", "bk_one"),
    hello("no server name", "%[req.ssl_sni]", None, "x.test"),
    hello("another name", "%[req.ssl_sni]", b"y.test", "z.test"),
    hello("first protocol", "%[req.ssl_alpn]", b"alpn.test", "h2"),
]
FIRST = hellos.of_python("cut.test")
CUTS = [
    Case(
        f"cut at {at}",
        inspected("req.ssl_hello_type 1", f"use_backend %[req.ssl_sni]{at}"),
        (FIRST[:at], Pause(0.05), FIRST[at:], Hear(b":"), Finish()),
        backends(f"cut.test{at}"),
    )
    for at in range(1, len(FIRST), 7)
]
SHORT = [
    Case(
        f"no more than {length}",
        inspected("req.ssl_hello_type 1", f"use_backend %[req.ssl_sni]s{length}"),
        (FIRST[:length], Hear(b":"), Finish()),
        backends(f"cut.tests{length}"),
    )
    for length in (1, 5, 6, 44, len(FIRST) // 2, len(FIRST) - 5)
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    return met_by_both([*CASES, *CUTS, *SHORT], tmp_path_factory.mktemp("said"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in (*CASES, *CUTS, *SHORT)])
def test_a_client_meets_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name] == met["haproxy"][name]


def test_some_are_led_and_some_are_not(met: dict[str, dict[str, Met]]) -> None:
    heard = {name: found.heard[:4] for name, found in met["haproxy"].items()}
    assert heard["all bytes"] == heard["server name"] == b"two:"
    assert heard["none of that name"] == heard["no server name"] == b"one:"
    assert all(heard[case.name] == b"two:" for case in CUTS)
