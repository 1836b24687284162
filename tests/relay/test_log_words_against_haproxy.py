"""Words of the log beside its format: what lines say, as HAProxy's for the same clients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.relay.lines import Logging, Server, line_of, lines_of_both, logging, play

pytestmark = pytest.mark.slow
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
STRUCTURED = ("no log", "log <log> format rfc5424 local0")
FAILED = (
    "error-log-format '%ci %fi %ft %b/%s %Tw/%Tc %B %U %ts %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq "
    "%[fc_err] <%[fc_err_str]> %ID %[src] %Td %[so_name] %bi %si %[srv_name]'"
)
NO_HEADERS = (
    b"",
    b"GET / HTTP/1.0\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
    b"PROXY TCP9 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TC",
    SIGNATURE + b"\x2f\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
)
HEADED = b"PROXY TCP4 10.1.1.1 10.2.2.2 1 2\r\nx"
CASES = {
    "no header": Logging(("log-format 'line %ci'",), (*NO_HEADERS, HEADED), bind="accept-proxy"),
    "no header, named": Logging(("log-format %ci",), NO_HEADERS, bind="accept-proxy name here"),
    "no header, broken": Logging(("log-format %ci",), (b"",), bind="accept-proxy", reset=True),
    "a format for them": Logging(
        ("log-format 'line %ci'", FAILED), (*NO_HEADERS, HEADED), bind="accept-proxy name here"
    ),
    "a format for them, of the usual bind": Logging((FAILED,), (HEADED,), bind="accept-proxy"),
    "nothing of nothing": Logging(
        ("option dontlognull", "log-format 'line %ci'"),
        (b"GET / HTTP/1.0\r\n\r\n", b"PROXY TC", HEADED),
        bind="accept-proxy",
    ),
    "structured": Logging(
        (
            *STRUCTURED,
            "log-format '%ft'",
            """log-format-sd '[id@1 in="%U" out="%B" s="%{+E}s" p="%[src,length]"]'""",
        ),
    ),
    "structured, without a format": Logging((*STRUCTURED, "log-format-sd '[a@1]'")),
    "structured, elsewhere": Logging(("log-format '%ft'", "log-format-sd '[a@1]'")),
    "not structured": Logging((*STRUCTURED, "log-format '%ft'")),
    "structured, no header": Logging(
        (*STRUCTURED, "log-format '%ft'", "log-format-sd '[a@1 f=\"%ft\"]'", FAILED),
        (b"GET / HTTP/1.0\r\n\r\n",),
        bind="accept-proxy",
    ),
    "unique id": Logging(
        (
            "unique-id-format '%{+X}o%ci-%ft-%[src,length]'",
            "log-format '%ID %{+Q}ID %[unique-id] %[unique-id,length]'",
        ),
    ),
    "no unique id": Logging(("log-format '%ID %{+Q}ID <%[unique-id]>'",)),
    "long unique id": Logging(
        (f"unique-id-format {'x' * 126}%ci%ci", "log-format '%ID %[unique-id,length]'")
    ),
    "unique id in rules": Logging(
        (
            "unique-id-format id-%ci",
            "tcp-request inspect-delay 4s",
            "tcp-request content set-var(txn.a) unique-id",
            "tcp-request content reject if { unique-id -m str id-127.0.0.1 } { req.payload(0,2) -m str no }",
            "log-format '%ID %[var(txn.a)] %ts'",
        ),
        (b"hello", b"no"),
    ),
}


def plain(line: str) -> str:
    """A line without what differs by nature: ports, times and process ids."""
    found = re.sub(r"127\.0\.0\.1:\d+", "CLIENT", line)
    found = re.sub(r"\d+/\w+/\d{4}:[\d:.]+", "DATE", found)
    return re.sub(r"1 \S+ (\S+) (\S+) \d+ - ", r"1 TIME \1 NAME PID - ", found)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """What each program logs for each case."""
    return lines_of_both(tmp_path_factory.mktemp("lines"), list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_a_line_says_what_haproxys_says(lines: dict[str, list[list[str]]], name: str) -> None:
    number = list(CASES).index(name)
    theirs, ours = (
        [plain(line) for line in lines[program][number]] for program in ("haproxy", "millrace")
    )
    assert all(theirs), "HAProxy logs each"
    assert ours == theirs


def test_what_sends_nothing_is_not_told_of(tmp_path: Path) -> None:
    """With `option dontlognull` neither program has a line for a client that only came."""
    server = Server()
    case = Logging(("option dontlognull", FAILED), bind="accept-proxy")
    for name in ("haproxy", "millrace"):
        with logging(name, tmp_path, [case], server) as (program, ports):
            play(ports[0], b"", reset=False)
            play(ports[0], b"PROXY TC", reset=False)
            assert "Truncated" in line_of(program)
    server.close()


def test_an_id_that_nothing_asks_for_before_is_made_with_the_line(tmp_path: Path) -> None:
    case = Logging(
        (
            "tcp-request inspect-delay 4s",
            "tcp-request content capture req.payload(0,5) len 5",
            "tcp-request content set-var(txn.a) req.payload(0,5)",
            "unique-id-format '%[var(txn.a)]'",
            "log-format '%ID'",
        ),
    )
    lines = lines_of_both(tmp_path, [case])
    assert lines["millrace"] == lines["haproxy"] == [["hello"]]


OPTIONS = ("authority", "unique-id", "crc32c", "authority,unique-id,crc32c")


def header_of(*fields: tuple[int, bytes]) -> bytes:
    """A client's own PROXY header, with fields, and a byte behind it."""
    body = bytes([10, 1, 1, 1, 10, 2, 2, 2, 0, 9, 0, 8])
    for kind, value in fields:
        body += bytes([kind]) + len(value).to_bytes(2, "big") + value
    return SIGNATURE + b"\x21\x11" + len(body).to_bytes(2, "big") + body + b"x"


SENT = (
    header_of(),
    header_of((2, b"a.b")),
    header_of((2, b"x" * 255), (5, b"theirs")),
    header_of((2, b"")),
)


def heard(folder: Path, name: str, options: Sequence[str]) -> list[bytes]:
    """What the server hears of each client, for each of the options."""
    server, found = Server(), []
    cases = [
        Logging(
            ("unique-id-format id-%ci:%cp", "log-format %ci"),
            bind="accept-proxy",
            options=f"send-proxy-v2 proxy-v2-options {option}",
        )
        for option in options
    ]
    with logging(name, folder, cases, server) as (_, ports):
        for port in ports:
            for sent in SENT:
                before = len(server.heard)
                play(port, sent, reset=False)
                wait_for(lambda: len(server.heard) > before, 5, "the server to hear it")  # noqa: B023
                found.append(server.heard[before])
    server.close()
    return found


def test_servers_are_told_the_same_of_clients(tmp_path: Path) -> None:
    theirs = heard(tmp_path, "haproxy", OPTIONS)
    ours = heard(tmp_path, "millrace", OPTIONS)
    assert ours == theirs
    assert any(b"id-10.1.1.1:9" in each for each in theirs)
    assert any(b"a.b" in each for each in theirs)
