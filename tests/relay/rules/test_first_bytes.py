"""Connections that first bytes lead, on real sockets: Millrace, and HAProxy beside it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.content import hellos
from tests.support.differential.one_program import PROGRAMS, one_program

CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  tcp-request inspect-delay 1s
  acl old req.ssl_ver lt 3.3
  tcp-request content reject if HTTP
  tcp-request content accept if {{{{ req.ssl_hello_type 1 }}}}
  tcp-request content reject if !REQ_CONTENT WAIT_END
  use_backend old if old
  use_backend one if {{{{ req_ssl_sni -i one.test }}}}
  use_backend two if {{{{ req.ssl_alpn http/1.1 }}}} or {{{{ payload(0,2) 4142 }}}}
  use_backend three if {{{{ rdp_cookie(user) -m beg ann }}}}
  default_backend other
"""
RDP = b"\3\0\0\x2f\x2a\xe0\0\0\0\0\0Cookie: user=ann.b\r\n"
MODERN = hellos.modern(b"one.test")
CASES: dict[str, tuple[Sequence[bytes], bytes]] = {
    "a name in capitals": ([hellos.of_python("ONE.test")], b"one"),
    "byte by byte": ([bytes([byte]) for byte in hellos.of_python("one.test")], b"one"),
    "the second protocol": ([hellos.of_python("x", ["h2", "http/1.1"])], b"two"),
    "no name": ([hellos.of_python(None)], b"other"),
    "post-quantum": ([MODERN[:900], MODERN[900:]], b"one"),
    "large": ([hellos.modern(b"one.test", padding=13_000)], b"one"),
    "SSLv2": ([hellos.of_ssl2()], b"old"),
    "some bytes": ([b"ABx"], b"two"),
    "a cookie": ([RDP], b"three"),
    "HTTP": ([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], b""),
    "nothing": ([], b""),
}
RECORDS = [hellos.in_records(MODERN[hellos.HEADER_BYTES :], [1] * 50)]


@contextmanager
def backends(*names: str) -> Iterator[str]:
    """Sections whose servers say their names, and what they are in the configuration."""
    with ExitStack() as stack:
        lines = []
        for name in names:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            Thread(target=say, args=(server, name.encode()), daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            lines.append(f"backend {name}\n  server s 127.0.0.1:{server.getsockname()[1]}\n")
        yield "".join(lines)


def say(server: socket.socket, name: bytes) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:  # the test has ended
            return
        with client:
            client.sendall(name)
            client.recv(65_536)


def answer(port: int, pieces: Sequence[bytes]) -> bytes:
    """Which server answers; b"": none."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            return client.recv(16)
        except ConnectionError:
            return b""


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_first_bytes_lead_to_a_server(tmp_path: Path, program: str) -> None:
    port = free_port()
    with backends("one", "two", "three", "old", "other") as sections:
        text = CONFIGURATION.format(port=port) + sections
        with one_program(PROGRAMS[program](), tmp_path / program, text, {}):
            found = {name: answer(port, pieces) for name, (pieces, _) in CASES.items()}
            in_records = answer(port, RECORDS)
    assert found == {name: wanted for name, (_, wanted) in CASES.items()}
    assert in_records == (b"one" if program == "millrace" else b"other")
