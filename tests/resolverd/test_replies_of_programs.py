"""What NSD, Unbound, BIND and dnsmasq answer, and what resolverd reads in it."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.query
import pytest

from resolverd.dns.answer import QueryType, Question, Status, read_reply
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.nsd import Nsd
from tests.support.dns.recursive import RealNameserver, unbound

ZONE = (
    "host IN A 127.0.1.1",
    "alias IN CNAME host",
    "two IN CNAME alias",
    "ghost IN CNAME nobody",
    "far IN CNAME host.other.example.",
    "*.wild IN A 127.0.1.2",
    "by-wild IN CNAME any.wild",
    "below.empty IN A 127.0.1.3",
    "sub IN DNAME tree",
    "host.tree IN A 127.0.1.4",
    "_s._tcp IN SRV 0 1 80 host",
    "by-alias IN CNAME _s._tcp",
    "not-any IN CNAME host",
    "loop IN CNAME pool",
    "pool IN CNAME loop",
)
CHILD = ("child IN NS ns.child", "ns.child IN A 127.0.0.9")
A, AAAA, SRV = QueryType
EXPECTED = {
    ("host", A): Status.VALID,
    ("host", AAAA): Status.NODATA,
    ("alias", A): Status.VALID,
    ("alias", AAAA): Status.NODATA,  # RFC 2308 section 2.2
    ("two", AAAA): Status.NODATA,
    ("ghost", A): Status.NX,  # RFC 6604: the code is about the last name
    ("x.wild", A): Status.VALID,
    ("x.wild", AAAA): Status.NODATA,
    ("by-wild", AAAA): Status.NODATA,
    ("empty", A): Status.NODATA,  # RFC 8020: there is something below
    ("host.sub", A): Status.VALID,
    ("host.sub", AAAA): Status.NODATA,
    ("gone.sub", A): Status.NX,
    ("_s._tcp", SRV): Status.VALID,
    ("by-alias", SRV): Status.VALID,
    ("not-any", SRV): Status.NODATA,
    ("nobody", A): Status.NX,
}
# An authoritative nameserver follows an alias within its zone only, and says where others are
OF_AUTHORITY = {
    ("far", A): Status.CNAME_ERROR,
    ("host.child", A): Status.OTHER,
}
BIND = """
options {{
    directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; minimal-responses {minimal};
}};
controls {{ }};
zone "zone.test" {{ type primary; file "{folder}/zone.txt"; }};
"""


def read(address: str, port: int, name: str, kind: QueryType) -> Status | None:
    """What the program's reply to a question is read as."""
    question = Question(f"{name}.zone.test", kind)
    query = dns.message.make_query(question.name, kind.name)
    reply = dns.query.udp(query, address, timeout=PATIENCE_SECONDS, port=port)
    answer = read_reply(reply.to_wire(), question)
    return None if answer is None else answer.status


def read_all(
    address: str, port: int, expected: dict[tuple[str, QueryType], Status]
) -> dict[tuple[str, QueryType], Status | None]:
    return {(name, kind): read(address, port, name, kind) for name, kind in expected}


@pytest.fixture
def nsd(tmp_path: Path) -> Nsd:
    return Nsd(tmp_path, "zone.test", ZONE + CHILD, "127.0.0.2")


def test_nsd(nsd: Nsd) -> None:
    expected = EXPECTED | OF_AUTHORITY | {("loop", A): Status.CNAME_ERROR}
    with nsd:
        assert read_all(nsd.address, nsd.port, expected) == expected


def test_unbound(nsd: Nsd, tmp_path: Path) -> None:
    folder = tmp_path / "unbound"
    folder.mkdir()
    with nsd, unbound(folder, nsd, "127.0.0.3") as recursive:
        assert read_all(recursive.address, recursive.port, EXPECTED) == EXPECTED


@pytest.mark.parametrize("minimal", ["yes", "no"])
def test_bind(nsd: Nsd, tmp_path: Path, minimal: str) -> None:
    """With and without the records that it may leave out."""
    program, port = require_program("named"), free_port()
    configuration = tmp_path / "named.conf"
    configuration.write_text(BIND.format(folder=tmp_path, port=port, minimal=minimal))
    nsd.stop()  # it wrote the zone
    command = [program, "-f", "-c", str(configuration)]
    expected = EXPECTED | OF_AUTHORITY | {("loop", A): Status.OTHER}
    with RealNameserver(command, "127.0.0.1", port, over_tcp=False) as bind:
        wait_for(lambda: bind.answer("host.zone.test", "A"), 10.0, "BIND", step=0.05)
        assert read_all("127.0.0.1", port, expected) == expected


def test_dnsmasq(tmp_path: Path) -> None:
    """It never names a zone: where its own alias has no record of the type, the chain just ends."""
    hosts, port = tmp_path / "hosts", free_port()
    hosts.write_text("127.0.1.1 host.zone.test\n")
    command = [
        require_program("dnsmasq"),
        *("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
        *("--bind-interfaces", "--listen-address=127.0.0.5", f"--port={port}"),
        *(f"--addn-hosts={hosts}", "--local=/test/", "--user=", "--group="),
        *(f"--pid-file={tmp_path / 'dnsmasq.pid'}", "--cname=alias.zone.test,host.zone.test"),
        "--srv-host=_s._tcp.zone.test,host.zone.test,80",
    ]
    expected = {
        ("host", A): Status.VALID,
        ("host", AAAA): Status.NODATA,
        ("alias", A): Status.VALID,
        ("alias", AAAA): Status.CNAME_ERROR,
        ("_s._tcp", SRV): Status.VALID,
        ("nobody", A): Status.NX,
    }
    with RealNameserver(command, "127.0.0.5", port, over_tcp=False) as dnsmasq:
        wait_for(lambda: dnsmasq.answer("host.zone.test", "A"), 10.0, "dnsmasq", step=0.05)
        assert read_all("127.0.0.5", port, expected) == expected
