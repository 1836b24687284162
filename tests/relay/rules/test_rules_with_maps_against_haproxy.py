"""Rules of connections that look up in maps do to clients what HAProxy's do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.content.hellos import modern
from tests.support.relay.rule_cases import TWO, Case, Finish, Hear, Met, front, met_by_both, rules

MAPS = {
    "hosts": "# who is led where\nwww.example two\n\n  app.example\ttwo  \nbad.example none\n",
    "networks": "127.0.0.0/8 keep\n127.0.0.0/16 refuse\n127.0.1.0/24 keep\n",
    "ports": "1:9 low\n10:65535 high\n",
}
WAIT = "tcp-request inspect-delay 1s"
TO_TWO = "use-server s2 if { req.ssl_sni,lower,map_dom(<hosts>) -m str two }"
SOURCE = "tcp-request connection reject if { src,map_ip(<networks>,keep) -m str refuse }"
HELD = (Hear(b"o"), Finish())


def sni(name: bytes) -> tuple[bytes | Hear | Finish, ...]:
    return (modern(name), *HELD)


def routed(name: str, server_name: bytes) -> Case:
    accept = "tcp-request content accept if { req.ssl_hello_type 1 }"
    lines = (WAIT, accept, TO_TWO, "server s2 <s2> weight 0")
    return Case(name, rules(*lines), sni(server_name))


def said(name: str, server_name: bytes, backend: str) -> Case:
    """A client that is led to the backend that a map names."""
    accept = "tcp-request content accept if { req.ssl_hello_type 1 }"
    choice = "use_backend bk%[req.ssl_sni,lower,map_dom(<hosts>,_other)]"
    others = f"\nbackend <other>\n  server s1 <s1>\nbackend bk{backend}\n  server s2 <s2>\n"
    return Case(name, front(WAIT, accept, choice), sni(server_name), others)


def kept(name: str, server_name: bytes) -> Case:
    """The same by way of a variable."""
    note = "tcp-request content set-var(txn.to) req.ssl_sni,lower,map_dom(<hosts>)"
    accept = "tcp-request content accept if { var(txn.to) -m found }"
    refuse = "tcp-request content reject if WAIT_END"
    return Case(name, front(WAIT, note, accept, refuse), sni(server_name), TWO)


CASES = [
    said("said by a map", b"a.APP.example", "two"),
    said("said by its default", b"else.example", "_other"),
    said("a name that is none", b"bad.example", "three"),
    kept("kept", b"www.example"),
    kept("not kept", b"else.example"),
    routed("a name", b"www.example"),
    routed("a name below", b"a.APP.example"),
    routed("another value", b"bad.example"),
    routed("no name", b"else.example"),
    Case("a network within", rules(SOURCE), HELD),
    Case("a finer one", rules(SOURCE), HELD, source="127.0.1.1"),
    Case("the wider one", rules(SOURCE), HELD, source="127.1.0.1"),
    Case(
        "a port",
        rules("tcp-request session reject if { dst_port,map_int(<ports>) -m str high }"),
        HELD,
    ),
    Case(
        "keys alone",
        rules("tcp-request connection reject if { src -M -f <networks> }"),
        HELD,
    ),
    Case(
        "whether there is one",
        front("tcp-request connection reject unless { dst_port,map_int(<ports>) -m found }"),
        HELD,
        TWO,
    ),
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    folder = tmp_path_factory.mktemp("maps")
    for name, content in MAPS.items():
        (folder / name).write_text(content)
    return met_by_both([_with_files(case, folder) for case in CASES], folder)


def _with_files(case: Case, folder: Path) -> Case:
    lines = case.lines
    for name in MAPS:
        lines = lines.replace(f"<{name}>", str(folder / name))
    return Case(case.name, lines, case.steps, case.others, case.source)


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_client_meets_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name] == met["haproxy"][name]


def test_maps_decide(met: dict[str, dict[str, Met]]) -> None:
    heard = {name: each.heard[:3] for name, each in met["millrace"].items()}
    assert heard["a name"] == heard["a name below"] == heard["whether there is one"] == b"two"
    assert heard["said by a map"] == heard["said by its default"] == heard["kept"] == b"two"
    assert (heard["a name that is none"], heard["not kept"]) == (b"one", b"")
    assert heard["another value"] == heard["no name"] == heard["a finer one"] == b"one"
    assert heard["a network within"] == heard["a port"] == heard["keys alone"] == b""
